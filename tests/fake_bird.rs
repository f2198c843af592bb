//! A control socket like BIRD's whose every byte a test decides: it counts who comes and remembers what it is
//! asked.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// The answers of a BIRD that were recorded: a folder of `tests/samples/bird`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recorded(pub(crate) &'static str);

impl Recorded {
    /// What BIRD answered to a question, its greeting left out; what was not recorded it does not understand.
    pub(crate) fn answer(self, question: &str) -> Vec<u8> {
        let name = format!("{}.txt", question.replace(' ', "_"));
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/samples/bird")
            .join(self.0)
            .join(name);
        let Ok(bytes) = fs::read(file) else { return b"9001 syntax error\n".to_vec() };
        let greeting = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        bytes[greeting..].to_vec()
    }
}

/// A listener; it lives as long as the test's process.
#[derive(Debug, Clone)]
pub(crate) struct FakeBird {
    heard: Arc<Mutex<Heard>>,
}

/// The socket of a daemon that is gone. It never listened: a listener that is closed lives on for a moment in each child that
/// another test is about to start.
pub(crate) fn abandoned(path: &Path) {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, socket};
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
    bind(socket.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
}

/// What came to a listener.
#[derive(Debug, Default)]
struct Heard {
    connections: usize,
    lines: Vec<String>,
}

/// One connection to it.
pub(crate) struct Connection {
    stream: BufReader<UnixStream>,
    heard: Arc<Mutex<Heard>>,
}

impl FakeBird {
    /// Listens at `socket` and does with each connection what `manner` says.
    pub(crate) fn listen(
        socket: &Path,
        manner: impl Fn(&mut Connection) + Clone + Send + 'static,
    ) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let bird = Self { heard: Arc::default() };
        let heard = Arc::clone(&bird.heard);
        // The thread waits for the next who comes until the process ends.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                heard.lock().unwrap().connections += 1;
                let manner = manner.clone();
                let mut connection = Connection {
                    stream: BufReader::new(stream.unwrap()),
                    heard: Arc::clone(&heard),
                };
                std::thread::spawn(move || manner(&mut connection));
            }
        });
        bird
    }

    /// Listens as the BIRD whose answers were recorded.
    pub(crate) fn recorded(socket: &Path, recorded: Recorded) -> Self {
        Self::listen(socket, move |connection| connection.answer(|_| None, recorded))
    }

    /// How often somebody has connected.
    pub(crate) fn connections(&self) -> usize {
        self.heard.lock().unwrap().connections
    }

    /// Every line that was sent to it, in order.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().lines.clone()
    }
}

impl Connection {
    /// The next line that is sent; `None` once the other end has gone.
    pub(crate) fn hear(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => {
                let line = line.trim_end_matches('\n').to_owned();
                self.heard.lock().unwrap().lines.push(line.clone());
                Some(line)
            }
        }
    }

    /// Sends bytes; `false` once the other end has gone.
    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.get_mut().write_all(bytes.as_ref()).is_ok()
    }

    /// Welcomes and restricts, as BIRD does.
    pub(crate) fn greet(&mut self) {
        self.say("0001 BIRD 1.6.8 ready.\n");
        if self.hear().is_some_and(|line| line == "restrict") {
            self.say("0016 Access restricted\n");
        }
    }

    /// Welcomes, and answers each question as `other` says, else as was recorded, until nobody asks any more.
    pub(crate) fn answer(&mut self, other: impl Fn(&str) -> Option<Vec<u8>>, recorded: Recorded) {
        self.greet();
        while let Some(question) = self.hear() {
            let answer = other(&question).unwrap_or_else(|| recorded.answer(&question));
            if !self.say(answer) {
                return;
            }
        }
    }

    /// Waits until the other end has gone.
    pub(crate) fn wait_for_the_end(&mut self) {
        while self.hear().is_some() {}
    }
}
