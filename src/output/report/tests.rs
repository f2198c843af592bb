use serde_json::json;

use super::*;
use crate::host::Evidence;
use crate::status;

const HOSTILE: &str =
    "</td><script>alert(1)</script><img src=x onerror=alert(1)>\u{1b}[1m\u{202e}\"'&";

fn page(findings: Vec<Finding>, links: &[Link], logs: &logs::Summary) -> String {
    let status = status::node_status(jiff::Timestamp::UNIX_EPOCH, &Evidence::default());
    let report = Report::new(Some(HOSTILE.to_owned()), jiff::Timestamp::UNIX_EPOCH, findings);
    render(&Page {
        status: &status,
        report: &report,
        manifest: None,
        links: Some(links),
        logs: Some(logs),
    })
}

fn hostile_log() -> logs::Summary {
    serde_json::from_value(json!({"files": [], "messages": [{
        "component": HOSTILE, "severity": "error", "message": HOSTILE, "sample": HOSTILE, "count": 3, "recent": 0,
        "first": "2026-11-23T02:33:26Z", "last": "2026-11-23T03:33:26Z",
    }]}))
    .unwrap()
}

#[test]
fn nothing_that_the_node_says_becomes_markup() {
    let finding = Finding::new("bgp.peer", Level::Fail, HOSTILE)
        .evidence(json!({HOSTILE: HOSTILE, "list": [HOSTILE]}))
        .remedy(HOSTILE);
    let link = Link { name: HOSTILE.to_owned(), kind: Some("vxlan".to_owned()), ..Link::default() };
    let text = page(vec![finding], &[link], &hostile_log());
    assert!(text.contains("&lt;script&gt;"), "{text}");
    for markup in ["<script", "<img", "onerror=alert(1)>"] {
        assert!(!text.contains(markup), "{markup} stands in the page");
    }
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'));
}

#[test]
fn the_page_needs_nothing_from_elsewhere_and_forbids_it() {
    let text = page(Vec::new(), &[], &logs::Summary::default());
    assert!(text.contains("default-src 'none'; style-src 'unsafe-inline'"));
    // The hostile name of the node is text.
    let markup: String =
        text.split('<').filter_map(|part| part.split_once('>')).map(|(tag, _)| tag).collect();
    for outside in ["http://", "https://", " src=", " href="] {
        assert!(!markup.contains(outside), "{outside} stands in the page");
    }
    assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
}

#[test]
fn what_is_not_well_stands_first_and_the_rest_is_folded() {
    let finding = |level, summary: &str| Finding::new("bgp.peer", level, summary);
    let text = page(
        vec![
            finding(Level::Ok, "it is well"),
            finding(Level::Warn, "a warning"),
            finding(Level::Fail, "a failure"),
        ],
        &[],
        &logs::Summary::default(),
    );
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what} is not there"));
    assert!(at("a failure") < at("a warning") && at("a warning") < at("<details>"));
    assert!(at("<details>") < at("it is well"));
}

#[test]
fn links_that_are_down_are_drawn_as_broken_and_pods_that_are_up_are_one_box() {
    let link = |name: &str, kind: &str, flags: &[&str]| Link {
        name: name.to_owned(),
        kind: Some(kind.to_owned()),
        layer: Some("ether".to_owned()),
        flags: flags.iter().map(ToString::to_string).collect(),
        mtu: Some(1450),
    };
    let up = ["up", "lower_up"];
    let mut links: Vec<Link> =
        (0..110).map(|number| link(&format!("cali{number:011x}"), "veth", &up)).collect();
    links.push(link("calidown", "veth", &[]));
    links.push(link("vxlan.calico", "vxlan", &["up"]));
    let text = page(Vec::new(), &links, &logs::Summary::default());
    assert!(text.contains(">110 cali* up<"), "{text}");
    assert!(text.contains(">calidown is down<") && text.contains(">vxlan.calico, MTU 1450, down<"));
    assert_eq!(text.matches("class=\"place fail\"").count(), 2);
}
