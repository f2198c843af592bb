//! A stand-in for what Felix serves on loopback: `/liveness` and `/readiness` on port 9099, `/metrics` on 9091.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::namespaces::Namespaces;

/// A server inside the lab's network namespace, until it is dropped.
pub(crate) struct Http {
    answer: Arc<Mutex<(u16, String)>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Http {
    /// Serves `200` and no text on every path of `port` of loopback inside, until [`Http::answer`] says
    /// otherwise.
    pub(crate) fn start(namespaces: &Namespaces, port: u16) -> Self {
        let answer = Arc::new(Mutex::new((200, String::new())));
        let over = Arc::new(AtomicBool::new(false));
        let (bound, is_bound) = mpsc::channel();
        let thread = std::thread::scope(|scope| {
            let (answer, over) = (Arc::clone(&answer), Arc::clone(&over));
            // A socket belongs to the namespace of the thread that makes it, wherever it is used afterwards.
            scope
                .spawn(move || {
                    namespaces.enter_network();
                    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
                    listener.set_nonblocking(true).unwrap();
                    bound.send(()).unwrap();
                    std::thread::spawn(move || serve(&listener, &answer, &over))
                })
                .join()
                .unwrap()
        });
        is_bound.recv().unwrap();
        Self { answer, over, thread: Some(thread) }
    }

    /// From now on answers every path but `/liveness` with this status and text.
    pub(crate) fn answer(&self, status: u16, text: &str) {
        *self.answer.lock().unwrap() = (status, text.to_owned());
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, answer: &Mutex<(u16, String)>, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        match listener.accept() {
            // Who hangs up early is none of the server's business.
            Ok((client, _)) => drop(respond(client, answer)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(_) => return,
        }
    }
}

fn respond(mut client: TcpStream, answer: &Mutex<(u16, String)>) -> std::io::Result<()> {
    client.set_nonblocking(false)?;
    client.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut part = [0; 1024];
        let read = client.read(&mut part)?;
        if read == 0 {
            return Ok(());
        }
        request.extend_from_slice(&part[..read]);
    }
    let (status, text) = if request.starts_with(b"GET /liveness ") {
        (200, String::new())
    } else {
        answer.lock().unwrap().clone()
    };
    write!(
        client,
        "HTTP/1.1 {status} Lab\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )
}
