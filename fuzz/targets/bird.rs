//! What BIRD answers, and its configuration: whoever holds the control socket's path says what it likes.
#![no_main]

use calivet::bird::{configuration, protocols, reply, routes, status};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let reply = reply::parse(bytes);
    assert_eq!(reply, reply::parse(bytes), "the same bytes give the same reply");
    let lines = bytes.split(|byte| *byte == b'\n').count();
    let protocols = protocols::parse(&reply);
    assert!(protocols.list.len() <= lines, "no protocol without a line");
    let routes = routes::parse(&reply);
    assert!(routes.list.len() <= lines, "no route without a line");
    let _ = status::parse(&reply);
    let _ = (reply.refusal(), reply.is_garbage());
    for line in bytes.split(|byte| *byte == b'\n') {
        let _ = reply::ends_reply(line);
    }
    let text = String::from_utf8_lossy(bytes);
    let _ = (status::date_time(&text), status::time_of_day(&text));
    assert_eq!(configuration::parse(&text), configuration::parse(&text));
});
