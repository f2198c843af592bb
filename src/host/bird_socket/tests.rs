use std::fs;
use std::future::ready;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Arc, Mutex as StdMutex};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
};
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::*;

const CALICO: &str = "var/run/calico/bird.ctl";
const SOON: Duration = Duration::from_millis(200);
/// Long enough never to run out in a test that does not wait for it.
const LATE: Duration = Duration::from_secs(20);
const STATUS: &str = "1000-BIRD v0.3.3+birdv1.6.8\n\
    1011-Router ID is 10.0.0.1\n\
    \x20Current server time is 2026-11-23 01:53:00\n\
    \x20Last reboot on 2026-11-23 01:50:26\n\
    0013 Daemon is up and running\n";
const WELCOME: &str = "0001 BIRD v0.3.3+birdv1.6.8 ready.\n";

/// A folder in which a host's sockets can be made, and what is asked of it.
struct Machine {
    root: TempDir,
    daemons: Daemons,
    max_bytes: u64,
}

impl Machine {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["var/run/calico", "var/run/bird", "run/bird"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        Self { root, daemons: Daemons::default(), max_bytes: 1 << 20 }
    }

    fn listen(&self, path: &str) -> UnixListener {
        UnixListener::bind(self.root.path().join(path)).unwrap()
    }

    /// A socket that a daemon left behind. It never listened: a listener that is closed lives on for a moment in each child that
    /// another test is about to start.
    fn abandon(&self, path: &str) {
        let address = UnixAddr::new(&self.root.path().join(path)).unwrap();
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
        bind(socket.as_raw_fd(), &address).unwrap();
    }

    async fn ask(&self, text: &str, timeout: Duration) -> (Reading, String) {
        self.ask_daemon(Family::Ipv4, text, timeout, &[]).await
    }

    async fn ask_daemon(
        &self,
        family: Family,
        text: &str,
        timeout: Duration,
        pids: &[u32],
    ) -> (Reading, String) {
        let (chunks, mut received) = mpsc::channel(1);
        let question = Question { family, text, timeout, max_bytes: self.max_bytes };
        let asked = self.daemons.ask(self.root.path(), ready(pids.to_vec()), question, chunks);
        let collected = async {
            let mut bytes = Vec::new();
            while let Some(chunk) = received.recv().await {
                assert!(chunk.len() <= 1 << 20, "a chunk of {} bytes", chunk.len());
                bytes.extend(chunk);
            }
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let (reading, answer) = tokio::join!(asked, collected);
        assert!(reading.bytes.is_empty());
        (reading, answer)
    }
}

fn reason(reading: &Reading) -> &str {
    reading.reason.as_deref().unwrap_or_default()
}

#[track_caller]
fn assert_fails(reading: &Reading, outcome: Outcome, beginning: &str) {
    assert_eq!(reading.outcome, outcome, "{reading:?}");
    assert!(reason(reading).starts_with(beginning), "{}", reason(reading));
}

/// What a stand-in for BIRD has heard, a list of lines for each connection.
type Heard = Arc<StdMutex<Vec<Vec<String>>>>;

/// A stand-in that welcomes, restricts, and gives `answer` to every question.
fn serve(listener: UnixListener, answer: &'static str) -> Heard {
    let heard = Heard::default();
    let hearing = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            hearing.lock().unwrap().push(Vec::new());
            let (read, mut write) = stream.into_split();
            let mut lines = BufReader::new(read).lines();
            write.write_all(WELCOME.as_bytes()).await.unwrap();
            while let Ok(Some(line)) = lines.next_line().await {
                let reply = if line == "restrict" { "0016 Access restricted\n" } else { answer };
                hearing.lock().unwrap().last_mut().unwrap().push(line);
                if write.write_all(reply.as_bytes()).await.is_err() {
                    break;
                }
            }
        }
    });
    heard
}

/// A stand-in whose first connection is served by `play`; the number of connections is counted.
fn play<F, P>(listener: UnixListener, play: P) -> Arc<StdMutex<usize>>
where
    F: Future<Output = ()> + Send,
    P: Fn(UnixStream) -> F + Send + 'static,
{
    let count = Arc::new(StdMutex::new(0));
    let counting = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            *counting.lock().unwrap() += 1;
            play(stream).await;
        }
    });
    count
}

/// Welcomes and restricts, as far as the first question.
async fn greet(stream: &mut UnixStream) {
    stream.write_all(WELCOME.as_bytes()).await.unwrap();
    let mut heard = [0; 9];
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"restrict\n");
    stream.write_all(b"0016 Access restricted\n").await.unwrap();
}

#[tokio::test]
async fn questions_share_one_restricted_connection_and_are_answered_verbatim() {
    let machine = Machine::new();
    let heard = serve(machine.listen(CALICO), STATUS);
    for question in ["show status", "show protocols all"] {
        let (reading, answer) = machine.ask(question, LATE).await;
        assert_eq!((reading.outcome, reading.reason), (Outcome::Ok, None));
        assert_eq!(reading.place.as_deref(), Some("/var/run/calico/bird.ctl"));
        assert_eq!(answer, format!("{WELCOME}{STATUS}"));
        assert_eq!(reading.original_bytes, answer.len() as u64);
    }
    assert_eq!(*heard.lock().unwrap(), [["restrict", "show status", "show protocols all"]]);
}

#[tokio::test]
async fn an_error_that_bird_reports_is_an_answer() {
    let machine = Machine::new();
    serve(machine.listen(CALICO), "9001 syntax error\n");
    let (reading, answer) = machine.ask("show nonsense", LATE).await;
    assert_eq!(reading.outcome, Outcome::Ok);
    assert_eq!(answer, format!("{WELCOME}9001 syntax error\n"));
}

#[tokio::test]
async fn bytes_that_are_no_text_and_unknown_codes_are_kept() {
    let machine = Machine::new();
    serve(machine.listen(CALICO), "9999-\0\x1b[2J\n+said unasked\n 1\n4321 \n");
    let (reading, answer) = machine.ask("show status", LATE).await;
    assert_eq!(reading.outcome, Outcome::Ok);
    assert_eq!(answer, format!("{WELCOME}9999-\0\x1b[2J\n+said unasked\n 1\n4321 \n"));
}

#[tokio::test]
async fn each_family_has_its_own_daemon_and_its_own_trouble() {
    let machine = Machine::new();
    serve(machine.listen("run/bird/bird6.ctl"), STATUS);
    let (four, _) = machine.ask("show status", LATE).await;
    let (six, _) = machine.ask_daemon(Family::Ipv6, "show status", LATE, &[]).await;
    assert_fails(&four, Outcome::Missing, "absent: ");
    assert_eq!(six.outcome, Outcome::Ok);
    assert_eq!(six.place.as_deref(), Some("/run/bird/bird6.ctl"));
}

#[tokio::test]
async fn the_socket_is_found_in_the_mount_namespace_of_a_bird_process() {
    let machine = Machine::new();
    let folder = machine.root.path().join("proc/433/root/run/bird");
    fs::create_dir_all(folder).unwrap();
    serve(machine.listen("proc/433/root/run/bird/bird.ctl"), STATUS);
    let (reading, _) = machine.ask_daemon(Family::Ipv4, "show status", LATE, &[7, 433]).await;
    assert_eq!(reading.outcome, Outcome::Ok, "{reading:?}");
    assert_eq!(reading.place.as_deref(), Some("/proc/433/root/run/bird/bird.ctl"));
}

#[tokio::test]
async fn processes_are_not_asked_for_when_the_host_has_the_socket() {
    let machine = Machine::new();
    serve(machine.listen(CALICO), STATUS);
    let (chunks, _received) = mpsc::channel(8);
    let question =
        Question { family: Family::Ipv4, text: "show status", timeout: LATE, max_bytes: 1 << 20 };
    let never = std::future::pending();
    let reading = machine.daemons.ask(machine.root.path(), never, question, chunks).await;
    assert_eq!(reading.outcome, Outcome::Ok);
}

#[tokio::test]
async fn an_absent_socket_names_every_place() {
    let machine = Machine::new();
    fs::create_dir_all(machine.root.path().join("proc/433/root")).unwrap();
    let (reading, answer) =
        machine.ask_daemon(Family::Ipv4, "show status", LATE, &[433, 999]).await;
    assert_eq!(reading.outcome, Outcome::Missing);
    assert_eq!(answer, "");
    assert_eq!(reading.place, None);
    assert_eq!(
        reason(&reading),
        "absent: /var/run/calico/bird.ctl: no such file or directory; \
         /var/run/bird/bird.ctl: no such file or directory; \
         /run/bird/bird.ctl: no such file or directory; \
         /proc/433/root/var/run/calico/bird.ctl: no such file or directory; \
         /proc/433/root/var/run/bird/bird.ctl: no such file or directory; \
         /proc/433/root/run/bird/bird.ctl: no such file or directory; \
         /proc/999/root: no such file or directory"
    );
}

#[tokio::test]
async fn a_socket_without_a_listener_is_refused_and_tells_more_than_an_absent_one() {
    let machine = Machine::new();
    machine.abandon("var/run/bird/bird.ctl");
    let (reading, _) = machine.ask("show status", LATE).await;
    assert_eq!(reading.outcome, Outcome::Failed);
    assert_eq!(
        reason(&reading),
        "refused: /var/run/calico/bird.ctl: no such file or directory; \
         /var/run/bird/bird.ctl: connection refused; \
         /run/bird/bird.ctl: no such file or directory"
    );
}

#[tokio::test]
async fn what_is_not_a_socket_is_said_and_the_search_goes_on() {
    let machine = Machine::new();
    fs::write(machine.root.path().join(CALICO), "").unwrap();
    symlink("/nowhere", machine.root.path().join("var/run/bird/bird.ctl")).unwrap();
    let (reading, _) = machine.ask("show status", LATE).await;
    assert_eq!(
        reason(&reading),
        "refused: /var/run/calico/bird.ctl: not a socket but a regular file; \
         /var/run/bird/bird.ctl: no such file or directory; \
         /run/bird/bird.ctl: no such file or directory"
    );
}

#[tokio::test]
async fn a_socket_that_may_not_be_used_is_denied() {
    if nix::unistd::geteuid().is_root() {
        // Root is denied nothing: this very test once more, as a user who is.
        let name = "host::bird_socket::tests::a_socket_that_may_not_be_used_is_denied";
        let output = Command::new("/proc/self/exe")
            .args(["--exact", name])
            .env_remove("TMPDIR")
            .current_dir("/")
            .uid(65534)
            .gid(65534)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
        return;
    }
    let machine = Machine::new();
    let _listener = machine.listen("var/run/bird/bird.ctl");
    let socket = machine.root.path().join("var/run/bird/bird.ctl");
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o000)).unwrap();
    machine.abandon("run/bird/bird.ctl");
    let (reading, _) = machine.ask("show status", LATE).await;
    assert_eq!(reading.outcome, Outcome::Denied);
    assert_eq!(
        reason(&reading),
        "denied: /var/run/calico/bird.ctl: no such file or directory; \
         /var/run/bird/bird.ctl: permission denied; \
         /run/bird/bird.ctl: connection refused"
    );
}

#[tokio::test]
async fn links_stay_inside_the_root() {
    let machine = Machine::new();
    fs::remove_dir_all(machine.root.path().join("var/run")).unwrap();
    symlink("/run", machine.root.path().join("var/run")).unwrap();
    fs::create_dir_all(machine.root.path().join("run/calico")).unwrap();
    serve(machine.listen("run/calico/bird.ctl"), STATUS);
    let (reading, _) = machine.ask("show status", LATE).await;
    assert_eq!(reading.outcome, Outcome::Ok, "{reading:?}");
    assert_eq!(reading.place.as_deref(), Some("/var/run/calico/bird.ctl"));
}

#[tokio::test]
async fn links_do_not_lead_out_of_the_root() {
    let machine = Machine::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let outside = elsewhere.path().join("bird.ctl");
    serve(UnixListener::bind(&outside).unwrap(), STATUS);
    symlink(&outside, machine.root.path().join(CALICO)).unwrap();
    symlink("/", machine.root.path().join("proc")).unwrap();
    let (reading, _) = machine.ask_daemon(Family::Ipv4, "show status", LATE, &[1]).await;
    assert_fails(&reading, Outcome::Missing, "absent: ");
}

#[tokio::test]
async fn a_path_longer_than_a_socket_address_is_no_hindrance() {
    let machine = Machine::new();
    let short = machine.listen(CALICO);
    let deep = machine.root.path().join("d".repeat(100)).join("e".repeat(100));
    fs::create_dir_all(&deep).unwrap();
    fs::rename(machine.root.path().join("var"), deep.join("var")).unwrap();
    serve(short, STATUS);
    let (chunks, _received) = mpsc::channel(8);
    let question =
        Question { family: Family::Ipv4, text: "show status", timeout: LATE, max_bytes: 1 << 20 };
    let reading = machine.daemons.ask(&deep, ready(Vec::new()), question, chunks).await;
    assert_eq!(reading.outcome, Outcome::Ok, "{reading:?}");
}

#[tokio::test]
async fn a_full_queue_is_blocked_at_once_and_not_tried_again() {
    let machine = Machine::new();
    let path = machine.root.path().join(CALICO);
    let address = UnixAddr::new(&path).unwrap();
    let stream = || {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap()
    };
    let listener = stream();
    bind(listener.as_raw_fd(), &address).unwrap();
    listen(&listener, Backlog::new(1).unwrap()).unwrap();
    let mut queued: Vec<OwnedFd> = Vec::new();
    loop {
        let client = stream();
        if connect(client.as_raw_fd(), &address).is_err() {
            break;
        }
        queued.push(client);
    }
    let (reading, _) = machine.ask("show status", LATE).await;
    assert_fails(&reading, Outcome::Failed, "blocked: /var/run/calico/bird.ctl: ");
    assert_eq!(reading.place.as_deref(), Some("/var/run/calico/bird.ctl"));
    drop(listener);
    let (again, _) = machine.ask("show protocols", LATE).await;
    assert_eq!(again.reason, reading.reason);
}

#[tokio::test]
async fn a_silent_daemon_times_out_once_and_gets_no_second_connection() {
    let machine = Machine::new();
    let count = play(machine.listen(CALICO), |stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    });
    let (reading, answer) = machine.ask("show status", SOON).await;
    assert_eq!(reading.outcome, Outcome::Timeout);
    assert_eq!(reason(&reading), "timed out: /var/run/calico/bird.ctl: no welcome within 200ms");
    assert_eq!(answer, "");
    let begun = Instant::now();
    let (again, _) = machine.ask("show protocols", LATE).await;
    assert_eq!((again.outcome, again.reason), (reading.outcome, reading.reason));
    assert!(begun.elapsed() < LATE);
    assert_eq!(*count.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_dripping_daemon_is_cut_off_by_one_deadline_and_what_came_is_kept() {
    let machine = Machine::new();
    play(machine.listen(CALICO), |mut stream| async move {
        greet(&mut stream).await;
        for byte in b"1000-BIRD\n1011-Router ID is".iter().chain(b" ".iter().cycle()) {
            if stream.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    let (reading, answer) = machine.ask("show status", SOON * 2).await;
    assert_eq!(reading.outcome, Outcome::Timeout);
    assert_eq!(
        reason(&reading),
        "timed out: /var/run/calico/bird.ctl: no whole answer to `show status` within 400ms"
    );
    assert!(answer.starts_with(&format!("{WELCOME}1000-BIRD\n1011-")), "{answer}");
}

#[tokio::test]
async fn a_line_without_end_is_garbled() {
    let machine = Machine::new();
    play(machine.listen(CALICO), |mut stream| async move {
        greet(&mut stream).await;
        while stream.write_all(&[b'1'; 4096]).await.is_ok() {}
    });
    let (reading, answer) = machine.ask("show status", LATE).await;
    assert_fails(
        &reading,
        Outcome::Failed,
        "garbled: /var/run/calico/bird.ctl: a line of more than 65536 bytes: \"1111",
    );
    assert!(reason(&reading).len() < 300 && answer.len() < 256 << 10);
}

#[tokio::test]
async fn an_answer_without_end_is_cut_at_whole_lines_and_the_next_one_is_asked_anew() {
    let mut machine = Machine::new();
    machine.max_bytes = 700_000;
    let count = play(machine.listen(CALICO), |mut stream| async move {
        greet(&mut stream).await;
        let lines = "1007-10.0.0.0/8 via 10.0.0.1\n".repeat(100);
        while stream.write_all(lines.as_bytes()).await.is_ok() {}
    });
    for connections in [1, 2] {
        let (reading, answer) = machine.ask("show route", LATE).await;
        assert_eq!(reading.outcome, Outcome::Truncated);
        assert_eq!(
            reason(&reading),
            "the answer is longer than 700000 bytes: the rest was not read"
        );
        assert!(answer.len() > 600_000 && answer.len() <= 700_000 && answer.ends_with('\n'));
        assert_eq!(*count.lock().unwrap(), connections);
    }
}

#[tokio::test]
async fn a_peer_that_is_not_bird_is_garbled_and_shown_harmlessly() {
    let machine = Machine::new();
    play(machine.listen(CALICO), |mut stream| async move {
        stream.write_all(b"SSH-2.0-\x1b]0;x\x07\r\n").await.unwrap();
        let _ = stream.read(&mut [0; 16]).await;
    });
    let (reading, answer) = machine.ask("show status", LATE).await;
    assert_eq!(
        reason(&reading),
        "garbled: /var/run/calico/bird.ctl: not BIRD's protocol: \"SSH-2.0-\\x1b]0;x\\x07\\r\""
    );
    assert_eq!(answer, "SSH-2.0-\x1b]0;x\x07\r\n");
}

#[tokio::test]
async fn a_continuation_of_nothing_is_garbled() {
    let machine = Machine::new();
    serve(machine.listen(CALICO), " Router ID\n0000 \n");
    let (reading, answer) = machine.ask("show status", LATE).await;
    assert_fails(&reading, Outcome::Failed, "garbled: /var/run/calico/bird.ctl: ");
    assert!(answer.starts_with(&format!("{WELCOME} Router ID\n")), "{answer}");
}

#[tokio::test]
async fn a_daemon_that_is_not_restricted_is_asked_nothing() {
    let machine = Machine::new();
    play(machine.listen(CALICO), |mut stream| async move {
        stream.write_all(WELCOME.as_bytes()).await.unwrap();
        stream.read_exact(&mut [0; 9]).await.unwrap();
        stream.write_all(b"9001 syntax error\n").await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"");
    });
    let (reading, _) = machine.ask("show status", LATE).await;
    assert_eq!(
        reason(&reading),
        "failed: /var/run/calico/bird.ctl: it did not restrict itself: \"9001 syntax error\""
    );
}

#[tokio::test]
async fn half_an_answer_is_kept_and_called_cut_off() {
    let machine = Machine::new();
    play(machine.listen(CALICO), |mut stream| async move {
        greet(&mut stream).await;
        stream.read_exact(&mut [0; 12]).await.unwrap();
        stream.write_all(b"1000-BIRD 1.6.8\n1011-Rou").await.unwrap();
    });
    let (reading, answer) = machine.ask("show status", LATE).await;
    assert_fails(
        &reading,
        Outcome::Failed,
        "cut off: /var/run/calico/bird.ctl: closed before the whole answer to `show status`",
    );
    assert_eq!(answer, format!("{WELCOME}1000-BIRD 1.6.8\n1011-Rou"));
}

#[tokio::test]
async fn a_connection_closed_at_once_is_cut_off() {
    let machine = Machine::new();
    play(machine.listen(CALICO), |stream| async move { drop(stream) });
    let (reading, _) = machine.ask("show status", LATE).await;
    assert_eq!(reason(&reading), "cut off: /var/run/calico/bird.ctl: closed before the welcome");
}

#[tokio::test]
async fn a_connection_closed_between_two_questions_is_cut_off() {
    let machine = Machine::new();
    let (closed, mut wait) = mpsc::channel::<()>(1);
    play(machine.listen(CALICO), move |mut stream| {
        let closed = closed.clone();
        async move {
            greet(&mut stream).await;
            stream.read_exact(&mut [0; 12]).await.unwrap();
            stream.write_all(b"0013 Daemon is up and running\n").await.unwrap();
            drop(stream);
            closed.send(()).await.unwrap();
        }
    });
    assert_eq!(machine.ask("show status", LATE).await.0.outcome, Outcome::Ok);
    wait.recv().await.unwrap();
    let (reading, _) = machine.ask("show protocols", LATE).await;
    assert_fails(&reading, Outcome::Failed, "cut off: /var/run/calico/bird.ctl: ");
}

#[tokio::test]
async fn words_after_an_answer_are_not_taken_for_the_next_one() {
    let machine = Machine::new();
    serve(machine.listen(CALICO), "0000 \n1002-old news\n0000 \n");
    assert_eq!(machine.ask("show status", LATE).await.0.outcome, Outcome::Ok);
    let (reading, _) = machine.ask("show protocols", LATE).await;
    assert_fails(
        &reading,
        Outcome::Failed,
        "garbled: /var/run/calico/bird.ctl: unasked, it said \"1002-old news",
    );
}

#[tokio::test]
async fn a_question_that_is_not_one_line_is_not_put() {
    let machine = Machine::new();
    let heard = serve(machine.listen(CALICO), STATUS);
    for question in ["show status\nconfigure", "show\rstatus", "show\0", "", " "] {
        let (reading, answer) = machine.ask(question, LATE).await;
        assert_fails(&reading, Outcome::Failed, "failed: not one command of BIRD's: ");
        assert_eq!(answer, "");
    }
    assert_eq!(heard.lock().unwrap().len(), 0);
    assert_eq!(machine.ask("show status", LATE).await.0.outcome, Outcome::Ok);
}

#[tokio::test]
async fn an_answer_that_nobody_receives_ends_early() {
    let machine = Machine::new();
    play(machine.listen(CALICO), |mut stream| async move {
        greet(&mut stream).await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let (chunks, received) = mpsc::channel(1);
    drop(received);
    let question =
        Question { family: Family::Ipv4, text: "show status", timeout: LATE, max_bytes: 1 << 20 };
    let reading =
        machine.daemons.ask(machine.root.path(), ready(Vec::new()), question, chunks).await;
    assert_eq!(reading.outcome, Outcome::Interrupted);
}

#[tokio::test]
async fn an_answer_is_the_same_wherever_it_is_broken_on_its_way() {
    let machine = Machine::new();
    play(machine.listen(CALICO), |mut stream| async move {
        greet(&mut stream).await;
        for at in 0..STATUS.len() {
            stream.read_exact(&mut [0; 12]).await.unwrap();
            for part in [&STATUS[..at], &STATUS[at..]] {
                stream.write_all(part.as_bytes()).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
    });
    for at in 0..STATUS.len() {
        let (reading, answer) = machine.ask("show status", LATE).await;
        assert_eq!((reading.outcome, reading.reason), (Outcome::Ok, None), "broken at {at}");
        assert_eq!(answer, format!("{WELCOME}{STATUS}"), "broken at {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_answered_is_kept_and_is_whole_only_with_a_last_line(
        lines in proptest::collection::vec("[0-9]{3,5}[ -]?.{0,5}| .{0,5}|\\PC{0,9}", 0..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let machine = Machine::new();
            let answer = lines.iter().fold(String::new(), |all, line| all + line + "\n");
            let sent = answer.clone();
            play(machine.listen(CALICO), move |mut stream| {
                let sent = sent.clone();
                async move {
                    greet(&mut stream).await;
                    stream.read_exact(&mut [0; 12]).await.unwrap();
                    stream.write_all(sent.as_bytes()).await.unwrap();
                }
            });
            let (reading, kept) = machine.ask("show status", LATE).await;
            let kept = kept.strip_prefix(WELCOME).unwrap();
            assert!(answer.starts_with(kept));
            let is_last = |line: &str| {
                let line = line.as_bytes();
                line.len() > 4 && line[..4].iter().all(u8::is_ascii_digit) && line[4] == b' '
            };
            match reason(&reading).split(':').next() {
                Some("") => assert!(kept.lines().last().is_some_and(is_last), "{kept}"),
                Some("cut off") => assert!(kept == answer && !kept.lines().any(is_last), "{kept}"),
                Some("garbled") => assert!(!kept.is_empty()),
                other => panic!("{other:?}"),
            }
        });
    }
}
