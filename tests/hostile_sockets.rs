//! `calivet node status` against control sockets that are not what they should be. In each case the daemon for
//! IPv6 is well, and what it says must be shown whole.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, UnixAddr};
use serde_json::{Value, json};

use crate::fake_bird::{Connection, FakeBird, Recorded, abandoned};
use crate::root::Root;
use crate::run::{Run, run};

const SOCKET: &str = "/var/run/calico/bird.ctl";
const ONE: Recorded = Recorded("1.6.8");

/// The default output's end: what the sample says of IPv6.
const IPV6: &str = "\
+--------------+-------------------+-------+----------+--------------------------------+
| PEER ADDRESS |     PEER TYPE     | STATE |  SINCE   |              INFO              |
+--------------+-------------------+-------+----------+--------------------------------+
| fd00::2      | node-to-node mesh | up    | 01:43:32 | Established                    |
| fd00::3      | node specific     | start | 01:43:31 | Active Socket: Connection      |
|              |                   |       |          | refused                        |
| fd00::4      | global            | start | 01:43:32 | Idle Received: Bad peer AS     |
| fd00::7      | node-to-node mesh | start | 01:43:31 | Passive                        |
+--------------+-------------------+-------+----------+--------------------------------+

";

/// What is shown of a node.
struct Shown {
    /// What the JSON says of IPv4.
    ipv4: Value,
    /// The default output up to IPv6.
    table: String,
}

/// What is shown where the BIRD for IPv4 does this with each connection.
#[track_caller]
fn with(manner: impl Fn(&mut Connection) + Clone + Send + 'static) -> Shown {
    let root = Root::new().calico_node();
    let bird = FakeBird::listen(&root.at(SOCKET), manner);
    let shown = show(&root);
    // The JSON and the table: a connection each.
    assert_eq!(bird.connections(), 2, "{:?}", bird.heard());
    was_asked_properly(&bird);
    shown
}

/// What is shown of a root that has but a BIRD for IPv6 to be added.
#[track_caller]
fn show(root: &Root) -> Shown {
    let bird6 = FakeBird::recorded(&root.at("/var/run/calico/bird6.ctl"), Recorded("1.6.8-bird6"));
    let json = status(root, &["-o", "json"]);
    // Of IPv6 some peers are down, and that was seen.
    assert_eq!((json.status, json.stderr.as_str()), (1, ""), "{json:?}");
    let bgp = json.json()["bgp"].clone();
    shows_ipv6(&bgp["ipv6"]);
    assert_eq!(bird6.connections(), 1, "{:?}", bird6.heard());
    was_asked_properly(&bird6);

    let table = status(root, &[]);
    assert_eq!(table.status, 1, "{table:?}");
    assert!(!table.stdout.contains('\x1b'), "{table:?}");
    let (ipv4, ipv6) = table.stdout.split_once("\nIPv6 BGP status\n").expect("no IPv6");
    assert_eq!(ipv6, IPV6);
    Shown { ipv4: bgp["ipv4"].clone(), table: ipv4.to_owned() }
}

/// A run against a root, which must not take much longer than the time that each question has.
#[track_caller]
fn status(root: &Root, options: &[&str]) -> Run {
    let begun = Instant::now();
    let run = run(Command::new(env!("CARGO_BIN_EXE_calivet"))
        .arg("--root")
        .arg(root.path())
        .args(["node", "status", "--timeout", "500ms"])
        .args(options));
    assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
    run
}

#[track_caller]
fn shows_ipv6(ipv6: &Value) {
    let facts =
        ["state", "trouble", "error", "version", "routerId", "established", "notEstablished"];
    let facts = facts.map(|key| ipv6[key].clone());
    assert_eq!(json!(facts), json!(["ready", null, null, "1.6.8", "10.0.0.1", 1, 3]));
    let rows = rows(ipv6);
    let expected = [
        "Mesh_fd00__2 up Established",
        "Node_fd00__3 start Active Socket: Connection refused",
        "Global_fd00__4 start Idle Received: Bad peer AS",
        "Mesh_fd00__7 start Passive",
    ];
    assert_eq!(rows, expected);
}

/// Name, state and info of each peer.
fn rows(family: &Value) -> Vec<String> {
    let peers = family["peers"].as_array().unwrap();
    let row = |peer: &Value| {
        ["name", "state", "info"].map(|key| peer[key].as_str().unwrap().to_owned()).join(" ")
    };
    peers.iter().map(|peer| row(peer).trim_end().to_owned()).collect()
}

/// Restricted before anything is asked, and nothing asked but to be shown something.
#[track_caller]
fn was_asked_properly(bird: &FakeBird) {
    let heard = bird.heard();
    for line in &heard {
        assert!(line == "restrict" || line.starts_with("show "), "BIRD was told {line:?}");
    }
    let first = heard.first();
    assert!(first.is_none_or(|line| line == "restrict"), "{heard:?}");
}

impl Shown {
    /// IPv4 has this trouble, the error holds these words, and no peer is known.
    #[track_caller]
    fn fails(&self, trouble: &str, words: &[&str]) {
        self.is_in_trouble(trouble, words);
        assert_eq!(self.ipv4["peers"], json!([]));
    }

    #[track_caller]
    fn is_in_trouble(&self, trouble: &str, words: &[&str]) {
        let Self { ipv4, table } = self;
        assert_eq!(
            (&ipv4["state"], &ipv4["trouble"]),
            (&json!("unreachable"), &json!(trouble)),
            "{ipv4:#}"
        );
        let error = ipv4["error"].as_str().unwrap();
        // The same words for both, and for a person they are harmless.
        assert!(
            table.contains(&format!("\nIPv4 BGP status\nError querying BIRD: {error}")),
            "{error}\n{table}"
        );
        for words in words {
            assert!(error.contains(words), "{words:?} is not in {error:?}");
        }
        // What is not known whole is not counted.
        assert_eq!((&ipv4["established"], &ipv4["notEstablished"]), (&Value::Null, &Value::Null));
        assert!(!table.contains("No IPv4 peers found."), "{table}");
    }

    /// IPv4 is shown as if nothing were.
    #[track_caller]
    fn is_whole(&self) {
        let ipv4 = &self.ipv4;
        let facts = ["state", "trouble", "error", "established", "notEstablished"];
        let facts = facts.map(|key| ipv4[key].clone());
        assert_eq!(json!(facts), json!(["ready", null, null, 4, 10]), "{ipv4:#}");
        assert_eq!(ipv4["peers"].as_array().unwrap().len(), 14);
        assert!(!self.table.contains("Error querying"), "{}", self.table);
    }
}

#[test]
fn a_daemon_that_says_nothing_is_cut_off_by_the_deadline() {
    let shown = with(Connection::wait_for_the_end);
    shown.fails("timedOut", &["timed out: /var/run/calico/bird.ctl: no welcome within 500ms"]);
}

#[test]
fn a_daemon_that_stops_talking_after_its_welcome_is_cut_off_by_the_deadline() {
    let shown = with(|connection| {
        connection.greet();
        connection.wait_for_the_end();
    });
    shown.fails("timedOut", &["no whole answer to `show status` within 500ms"]);
}

#[test]
fn a_daemon_that_drips_is_cut_off_by_one_deadline_over_all_of_it() {
    let shown = with(|connection| {
        connection.greet();
        connection.hear();
        // Each byte in time, and all of them never.
        for byte in ONE.answer("show status").into_iter().cycle() {
            std::thread::sleep(Duration::from_millis(20));
            if !connection.say([byte]) {
                return;
            }
        }
    });
    shown.fails("timedOut", &["no whole answer to `show status` within 500ms", "cut off"]);
}

#[test]
fn a_line_without_end_is_not_waited_for() {
    let shown = with(|connection| {
        connection.greet();
        connection.hear();
        connection.say("1000-");
        while connection.say([b'x'; 4096]) {}
    });
    shown.fails("garbled", &["a line of more than 65536 bytes"]);
}

#[test]
fn an_answer_without_end_is_left_and_the_peers_until_there_are_kept() {
    let shown = with(|connection| {
        connection.greet();
        while let Some(question) = connection.hear() {
            if question != "show protocols all" {
                connection.say(ONE.answer(&question));
                continue;
            }
            let whole = ONE.answer("show protocols all");
            connection.say(&whole[..whole.len() - "0000 \n".len()]);
            // Not so fast that a slow machine has more to read than it can.
            while connection.say(" \n") {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    });
    shown.is_in_trouble("timedOut", &["no whole answer to `show protocols all` within 500ms"]);
    assert_eq!(rows(&shown.ipv4).len(), 14);
    assert_eq!(shown.ipv4["version"], "1.6.8");
    assert!(shown.table.contains("| 10.0.0.15 "), "{}", shown.table);
}

#[test]
fn an_answer_that_is_larger_than_is_kept_is_left_as_well() {
    let shown = with(|connection| {
        connection.greet();
        connection.hear();
        connection.say(ONE.answer("show status"));
        connection.hear();
        let line = format!(" {}\n", "y".repeat(4000)).repeat(64);
        connection.say("1002-name\n");
        while connection.say(&line) {}
    });
    // Whichever bound is met first.
    let trouble = shown.ipv4["trouble"].as_str().unwrap();
    assert!(["timedOut", "cutOff"].contains(&trouble), "{trouble}");
    assert_eq!(shown.ipv4["state"], "unreachable");
}

#[test]
fn what_is_not_birds_protocol_is_named_so() {
    let shown = with(|connection| {
        connection.say(b"HTTP/1.1 400 Bad Request\x1b]0;title\x07\r\n\r\n");
        connection.wait_for_the_end();
    });
    shown.fails(
        "garbled",
        &[r#"not BIRD's protocol: "HTTP/1.1 400 Bad Request\x1b]0;title\x07\r""#],
    );
    let shown = with(|connection| {
        connection.greet();
        while connection.hear().is_some() {
            connection.say([0xff, 0x00, 0x1b, b'[', b'\n']);
        }
    });
    shown.fails("garbled", &[r#""\xff\x00\x1b[""#]);
}

#[test]
fn half_an_answer_is_shown_and_not_taken_for_a_whole_one() {
    let shown = with(|connection| {
        connection.greet();
        while let Some(question) = connection.hear() {
            let whole = ONE.answer(&question);
            if question == "show status" {
                connection.say(whole);
            } else {
                connection.say(&whole[..whole.len() / 2]);
                return;
            }
        }
    });
    shown.is_in_trouble("cutOff", &["closed before the whole answer to `show protocols all`"]);
    let known = rows(&shown.ipv4);
    assert!((5..14).contains(&known.len()), "{known:?}");
    assert_eq!(known[0], "Mesh_10_0_0_2 up Established");
    assert!(shown.table.contains("| 10.0.0.2 "), "{}", shown.table);
}

#[test]
fn a_connection_that_is_closed_at_once_is_told() {
    with(|_| ()).fails("cutOff", &["/var/run/calico/bird.ctl: ", "before the welcome"]);
}

#[test]
fn a_daemon_that_restarts_in_mid_reply_is_not_asked_again() {
    let root = Root::new().calico_node();
    let socket = root.at(SOCKET);
    let (path, heir) = (socket.clone(), std::sync::Arc::new(std::sync::OnceLock::new()));
    let next = std::sync::Arc::clone(&heir);
    let first = FakeBird::listen(&socket, move |connection| {
        connection.greet();
        connection.hear();
        connection.say(ONE.answer("show status"));
        connection.hear();
        connection.say("2002-name     proto    table    state  since       info\n");
        // The next one takes the socket's place before this one is gone.
        fs::remove_file(&path).unwrap();
        let _ = next.set(FakeBird::recorded(&path, ONE));
    });
    FakeBird::recorded(&root.at("/var/run/calico/bird6.ctl"), Recorded("1.6.8-bird6"));
    let json = status(&root, &["-o", "json"]);
    assert_eq!(json.status, 1, "{json:?}");
    let bgp = &json.json()["bgp"];
    assert_eq!(
        (&bgp["ipv4"]["state"], &bgp["ipv4"]["trouble"]),
        (&json!("unreachable"), &json!("cutOff"))
    );
    shows_ipv6(&bgp["ipv6"]);
    assert_eq!((first.connections(), heir.get().unwrap().connections()), (1, 0));
    // Asked anew, it is well again.
    let again = status(&root, &["-o", "json"]).json();
    assert_eq!(again["bgp"]["ipv4"]["state"], "ready", "{again:#}");
    assert_eq!(heir.get().unwrap().connections(), 1);
}

#[test]
fn a_socket_that_nobody_listens_on_is_refused_and_every_place_is_named() {
    let root = Root::new().calico_node();
    abandoned(&root.at(SOCKET));
    let shown = show(&root);
    shown.fails(
        "refused",
        &[
            "refused: /var/run/calico/bird.ctl: connection refused",
            "; /var/run/bird/bird.ctl: no such file or directory",
            "; /run/bird/bird.ctl: no such file or directory",
        ],
    );
}

#[test]
fn what_is_no_socket_is_told_and_the_next_place_is_tried() {
    let root = Root::new().calico_node().file(SOCKET, "").file("/run/bird/keep", "");
    let bird = FakeBird::recorded(&root.at("/run/bird/bird.ctl"), ONE);
    let shown = show(&root);
    shown.is_whole();
    assert_eq!(bird.connections(), 2);

    let root = Root::new().calico_node().file(SOCKET, "");
    let shown = show(&root);
    shown.fails("refused", &["/var/run/calico/bird.ctl: not a socket but a regular file"]);
}

#[test]
fn no_socket_at_all_names_every_place() {
    let root = Root::new().calico_node();
    let shown = show(&root);
    let places = [
        "absent: /var/run/calico/bird.ctl: ",
        "/var/run/bird/bird.ctl: ",
        "/run/bird/bird.ctl: ",
        "/proc/433/root: ",
    ];
    shown.fails("absent", &places);
}

#[test]
fn a_daemon_whose_queue_is_full_is_alive_and_blocked() {
    let root = Root::new().calico_node();
    let queue = full_queue(&root.at(SOCKET));
    let shown = show(&root);
    shown.fails("blocked", &["blocked: /var/run/calico/bird.ctl: try again: its queue is full"]);
    drop(queue);
}

/// A socket that accepts nobody, with as many in its queue as fit.
fn full_queue(path: &Path) -> Vec<OwnedFd> {
    let address = UnixAddr::new(path).unwrap();
    let new = |flags| socket::socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
    let listener = new(SockFlag::SOCK_CLOEXEC);
    socket::bind(listener.as_raw_fd(), &address).unwrap();
    socket::listen(&listener, Backlog::new(2).unwrap()).unwrap();
    let mut queue = vec![listener];
    loop {
        let client = new(SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK);
        match socket::connect(client.as_raw_fd(), &address) {
            Ok(()) => queue.push(client),
            Err(Errno::EAGAIN) => return queue,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn codes_that_no_bird_sends_and_words_to_whom_it_may_concern_do_no_harm() {
    let shown = with(|connection| {
        let other = |question: &str| {
            let text = String::from_utf8(ONE.answer(question)).unwrap();
            let odd = "7777-what no BIRD has said\n+ something has changed\n";
            let (first, rest) = text.split_once('\n').unwrap();
            Some(format!("+ log\n{first}\n{odd}{rest}").into_bytes())
        };
        connection.answer(other, ONE);
    });
    shown.is_whole();
}

#[test]
fn names_that_a_terminal_would_obey_are_shown_escaped_and_kept_in_json() {
    let shown = with(|connection| {
        let other = |question: &str| {
            let mut whole = ONE.answer(question);
            if question != "show protocols all" {
                return Some(whole);
            }
            let rows = b"1002-Mesh_\x1b]0;owned\x07 BGP      master   up     01:43:31    Established   \n\
                1006-  BGP state:          Established\n     Neighbor address: 10.0.0.99\n     Neighbor AS:      64512\n \n\
                1002-nul\0 BGP      master   start  01:43:31    Idle          Error: \x1b[31mred\n\
                1006-  BGP state:          Idle\n     Neighbor address: 10.0.0.98\n \n\
                1002-\xff\xfe BGP      master   start  01:43:31    Active        Socket: \xc3\x28\r\n\
                1006-  BGP state:          Active\n     Neighbor address: 10.0.0.97\x1b[2J\n \n";
            let end = whole.len() - "0000 \n".len();
            whole.splice(end..end, rows.iter().copied());
            Some(whole)
        };
        connection.answer(other, ONE);
    });
    assert_eq!(
        (&shown.ipv4["state"], &shown.ipv4["error"]),
        (&json!("ready"), &Value::Null),
        "{:#}",
        shown.ipv4
    );
    let names: Vec<&str> = shown.ipv4["peers"].as_array().unwrap()[14..]
        .iter()
        .map(|peer| peer["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["Mesh_\x1b]0;owned\x07", "nul\0", "\u{fffd}\u{fffd}"]);
    let raw = |text: &str| text.chars().any(|shown| shown.is_control() && shown != '\n');
    assert!(!raw(&shown.table), "{}", shown.table);
    assert!(shown.table.contains(r"| Idle Error: \x1b[31mred "), "{}", shown.table);
    assert!(shown.table.contains(r"| 10.0.0.97\x1b[2J "), "{}", shown.table);
}

#[test]
fn no_output_carries_a_byte_that_a_terminal_would_obey() {
    let root = Root::new().calico_node();
    FakeBird::listen(&root.at(SOCKET), |connection| {
        let other = |question: &str| {
            let text = String::from_utf8(ONE.answer(question)).unwrap();
            Some(
                text.replace("Mesh_10_0_0_2", "Mesh_\x1b[2J\u{9b}31m")
                    .replace("veth-n1", "v\x1bn")
                    .into_bytes(),
            )
        };
        connection.answer(other, ONE);
    });
    for options in [
        &[][..],
        &["-o", "wide"],
        &["-o", "json"],
        &["-o", "yaml"],
        &["--resource"],
        &["--watch", "--times", "1"],
    ] {
        let run = status(&root, options);
        let raw = |text: &str| text.chars().any(|shown| shown.is_control() && shown != '\n');
        assert!(!raw(&run.stdout) && !raw(&run.stderr), "{options:?}: {run:?}");
    }
}

#[test]
fn a_daemon_that_does_not_restrict_itself_is_asked_nothing() {
    let shown = with(|connection| {
        connection.say("0001 BIRD 1.6.8 ready.\n");
        connection.hear();
        connection.say("9001 syntax error\n");
        assert_eq!(connection.hear(), None);
    });
    shown.fails("failed", &["it did not restrict itself", "9001 syntax error"]);
}

/// The exit status tells whether IPv4 is known to be ill: Felix's health is not known here, and all of IPv6 is well.
#[test]
fn the_exit_status_tells_what_is_wrong_from_what_is_not_known() {
    let well = |connection: &mut Connection| {
        let heading = "2002-name     proto    table    state  since       info\n";
        let other = |question: &str| {
            (question == "show protocols all").then(|| format!("{heading}0000 \n").into_bytes())
        };
        connection.answer(other, ONE);
    };
    let exit = |manner: Option<fn(&mut Connection)>| {
        let root = Root::new().calico_node();
        FakeBird::listen(&root.at("/var/run/calico/bird6.ctl"), well);
        let _bird = manner.map(|manner| FakeBird::listen(&root.at(SOCKET), manner));
        status(&root, &[]).status
    };
    assert_eq!(exit(Some(well)), 3, "nothing is wrong, Felix's health is not known");
    assert_eq!(exit(Some(Connection::wait_for_the_end)), 1, "a BIRD that does not answer is wrong");
    assert_eq!(
        exit(Some(|connection| assert!(connection.say("hello\n")))),
        1,
        "so is one that is none"
    );
    assert_eq!(exit(None), 1, "and one that runs and has no socket");
}
