//! What calivet reads of the kernel over netlink, beside what `ip`, `bridge`, `tc`, `ss`, `ipset`, `nft` and
//! `conntrack` say of the same tables, in a network namespace that has some of everything.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpListener;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::lab::namespaces::Namespaces;

/// The namespace, and the documents that were read in it once.
struct Net {
    namespaces: Namespaces,
    documents: BTreeMap<String, String>,
}

const NETWORK: &str = "
ip link add v0 type veth peer name v1
ip link set v0 mtu 1400 alias 'the uplink' up
ip link set v1 up
ip link add br0 type bridge
ip link set br0 up
ip link set v1 master br0
ip link add vx type veth peer name eth0
ip link add 'odd\u{202e}x' type veth peer name odd1
ip address add 10.0.0.1/24 dev v0
ip address add 10.9.0.1 peer 10.9.0.2/32 dev v0
ip address add fd00::1/64 dev v0 nodad valid_lft 5000 preferred_lft 4000
ip link add vxlan.calico type vxlan id 4096 dev v0 local 10.0.0.1 dstport 4789 nolearning
ip link set vxlan.calico up
bridge fdb add 66:2a:5b:00:00:01 dev vxlan.calico dst 10.0.0.2 self permanent
bridge fdb append 66:2a:5b:00:00:02 dev vxlan.calico dst 10.0.0.3 vni 77 port 8472 self
ip route add blackhole 192.168.0.0/26 proto 80
ip route add 192.168.1.0/26 via 10.0.0.2 dev v0 proto bird metric 32
ip route add 192.168.2.0/26 via 10.44.0.2 dev vxlan.calico onlink proto 80
ip route add unreachable 192.168.3.0/26
ip route add prohibit 192.168.4.0/26
ip route add throw 192.168.5.0/26 table 77
ip route add 192.168.6.0/24 proto 12 nexthop via 10.0.0.2 weight 3 nexthop via 10.0.0.3 dev v0 weight 1 onlink
ip route add 192.168.7.0/24 via inet6 fd00::2 dev v0
ip route add 192.168.8.0/24 via 10.0.0.2 mtu 1300 advmss 1200 src 10.0.0.1
ip route add default via 10.0.0.2
ip route add 192.168.9.0/24 dev v0 table 4000 scope link
ip -6 route add fd01::/64 nexthop via fd00::2 nexthop via fd00::3
ip -6 route add blackhole fd02::/64 proto 80
ip -6 route add default via fd00::2 metric 50 pref high
ip rule add pref 99 fwmark 0x100000/0x100000 table 77
ip rule add pref 100 from 10.0.0.0/8 to 192.168.0.0/16 iif v0 lookup main suppress_prefixlength 0
ip rule add pref 102 not from 10.1.0.0/16 ipproto tcp dport 100-200 lookup 77
ip -6 rule add pref 101 oif v0 blackhole
ip neighbour add 10.0.0.2 lladdr ee:ee:ee:ee:ee:ee dev v0 nud permanent
ip neighbour add fd00::2 lladdr ee:ee:ee:ee:ee:ee dev v0 nud stale
tc qdisc add dev v0 root tbf rate 1mbit burst 32kbit latency 400ms
ipset create nets hash:net
ipset add nets 10.0.0.0/24
ipset add nets 10.1.1.1
ipset add nets 10.2.0.0/16 nomatch
ipset create ports hash:ip,port timeout 1000 counters comment
ipset add ports 10.0.0.1,udp:53 comment 'hi there'
ipset add ports 10.0.0.1,tcp:179 timeout 0
ipset create numbers bitmap:port range 0-1000
ipset add numbers 80
ipset create six hash:ip family inet6 maxelem 1000
ipset add six fd00::1
ipset create all list:set
ipset add all nets
nft -f - <<'EOF'
table ip filter {
  comment \"of a table\"
  counter c1 {
  }
  set s {
    type ipv4_addr
    flags interval
    elements = { 10.0.0.0/8, 1.2.3.4 comment \"of an element\" }
  }
  map m {
    type inet_service : verdict
    elements = { 80 : jump other }
  }
  set timed {
    type ipv4_addr
    size 100
    flags timeout
    timeout 1h
    comment \"of a set\"
    elements = { 1.1.1.1 timeout 30m }
  }
  chain other {
    comment \"of a chain\"
    counter accept
  }
  chain in {
    type filter hook input priority 0
    policy accept
    ip saddr @s tcp dport 22 counter name c1 log prefix \"abc\" drop comment \"cali:my-rule\"
    ct state established,related accept
    tcp dport vmap @m
    ip saddr != 10.0.0.1 meta mark set 0x10 reject
    limit rate 10/second accept
  }
}
table inet other {
  chain post {
    type nat hook postrouting priority 100
    masquerade random
  }
}
EOF
conntrack -I -p tcp -s 1.1.1.1 -d 2.2.2.2 --sport 1000 --dport 80 --state ESTABLISHED -t 500 -u SEEN_REPLY,ASSURED -m 5
conntrack -I -p udp -s 1.1.1.1 -d 2.2.2.2 --sport 1000 --dport 53 -t 500
conntrack -I -p icmp -s 1.1.1.1 -d 2.2.2.2 --icmp-type 8 --icmp-code 0 --icmp-id 77 -t 500
conntrack -I -p tcp -s fd00::5 -d fd00::6 --sport 1 --dport 2 --state CLOSE -t 500
";

fn net() -> Option<&'static Net> {
    static NET: OnceLock<Option<Net>> = OnceLock::new();
    NET.get_or_init(|| match Net::new() {
        Ok(net) => Some(net),
        Err(reason) => {
            let required = env::var("CALIVET_TEST_LAB");
            assert_ne!(required.as_deref(), Ok("required"), "no network: {reason}");
            let _ = writeln!(std::io::stderr(), "tests of netlink: skipped: {reason}");
            None
        }
    })
    .as_ref()
}

impl Net {
    fn new() -> Result<Self, String> {
        let namespaces = Namespaces::new()?;
        for program in ["ipset", "conntrack", "nft"] {
            if !namespaces.run(&format!("command -v {program} || true")).contains('/') {
                return Err(format!("there is no {program}: tests/run installs it"));
            }
        }
        namespaces.run(NETWORK);
        // The kernel lets a second pass before it says that a link is up, and then gives it an address and routes.
        namespaces.run(
            "for try in $(seq 100); do\n\
             ip link show br0 | grep -q 'state UP' && ! ip -6 address show tentative | grep -q . &&\n\
             ip -6 route show table local dev vxlan.calico | grep -q '^local fe80' && break; sleep 0.05; done",
        );
        // A listener of this process's, and a connection to it of a process inside.
        let listener = std::thread::scope(|scope| {
            let listen = || {
                namespaces.enter_network();
                TcpListener::bind("127.0.0.1:0").unwrap()
            };
            scope.spawn(listen).join().unwrap()
        });
        let port = listener.local_addr().unwrap().port();
        namespaces.run(&format!(
            "( exec 3<>/dev/tcp/127.0.0.1/{port} 4<>/dev/udp/127.0.0.1/5000; exec sleep 1000 ) >/dev/null 2>&1 &\n\
             for try in $(seq 100); do ss -Htn state established | grep -q . && break; sleep 0.05; done"
        ));
        // It lives as long as the namespace.
        std::mem::forget(listener);
        let mut command = namespaces.command(env!("CARGO_BIN_EXE_calivet"));
        command.args(["node", "diags", "--only", "network", "--only", "netfilter"]);
        command.args(["--output-file", "/run/diags.tar.gz"]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        namespaces.run("cd /run\ntar xzf diags.tar.gz");
        let list = namespaces.run("cd /run/diagnostics\nls network/*.json netfilter/*.json");
        let documents = list
            .lines()
            .map(|path| (path.to_owned(), namespaces.run(&format!("cat /run/diagnostics/{path}"))));
        let documents = documents.collect();
        Ok(Self { namespaces, documents })
    }

    /// The rows of a list, and the promise that they are all.
    #[track_caller]
    fn rows(&self, path: &str, list: &str) -> Vec<Value> {
        let text = self.documents.get(path).unwrap_or_else(|| panic!("there is no {path}"));
        let document: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
        assert_eq!((&document["consistent"], &document["complete"]), (&json!(true), &json!(true)));
        let rows = document[list].as_array().unwrap_or_else(|| panic!("{path} has no {list}"));
        // One row a line.
        for row in rows {
            let name = row.as_object().unwrap().keys().next().unwrap();
            assert!(text.lines().any(|line| line.starts_with('{') && line.contains(name)));
        }
        rows.clone()
    }

    /// What a program says, as JSON.
    fn ask(&self, command: &str) -> Vec<Value> {
        let text = self.namespaces.run(command);
        serde_json::from_str::<Value>(&text)
            .unwrap_or_else(|error| panic!("{command}: {error}: {text}"))
            .as_array()
            .unwrap()
            .clone()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn sorted(mut rows: Vec<Value>) -> Vec<Value> {
    rows.sort_by_key(ToString::to_string);
    rows
}

/// Compares without regard to order, and shows what only one of both has.
#[track_caller]
fn same(ours: Vec<Value>, theirs: Vec<Value>) {
    let (ours, theirs) = (sorted(ours), sorted(theirs));
    let mut difference = String::new();
    for row in ours.iter().filter(|row| !theirs.contains(row)) {
        let _ = writeln!(difference, "only calivet:  {row}");
    }
    for row in theirs.iter().filter(|row| !ours.contains(row)) {
        let _ = writeln!(difference, "only the tool: {row}");
    }
    assert!(difference.is_empty(), "\n{difference}");
    assert_eq!(ours.len(), theirs.len());
    assert!(!ours.is_empty());
}

#[test]
fn links_are_those_of_ip_link() {
    let Some(net) = net() else { return };
    let ours = net.rows("network/links.json", "links");
    let after = net.ask("ip -j -d -s link");
    let of = |link: &Value| {
        json!([
            link["ifindex"],
            link["ifname"],
            link["mtu"],
            text(&link["operstate"]).to_lowercase(),
            link["address"],
            link["broadcast"],
            link["qdisc"],
            link["master"],
            link["link_type"],
            link["linkinfo"]["info_kind"],
            link["ifalias"],
            link["num_tx_queues"],
            link["promiscuity"],
            link["gso_max_size"],
        ])
    };
    let theirs = after.iter().map(of).collect();
    let of = |link: &Value| {
        json!([
            link["index"],
            link["name"],
            link["mtu"],
            link["operstate"],
            link["mac"],
            link["broadcast"],
            link["qdisc"],
            link["master"],
            link["type"],
            link["kind"],
            link["alias"],
            link["tx_queues"],
            link["promiscuity"],
            link["gso_max_bytes"],
        ])
    };
    same(ours.iter().map(of).collect(), theirs);
    for (ours, theirs) in ours.iter().zip(&after) {
        let flags: Vec<String> = theirs["flags"]
            .as_array()
            .unwrap()
            .iter()
            .map(|flag| text(flag).to_lowercase())
            .filter(|flag| flag != "no-carrier" && flag != "m-down")
            .collect();
        // ip leaves it out.
        let mut own = ours["flags"].as_array().unwrap().clone();
        own.retain(|flag| flag != "running");
        assert_eq!(sorted(own), sorted(flags.iter().map(|flag| json!(flag)).collect()));
        assert_eq!(ours["link_name"], theirs["link"], "{ours}");
        // Neighbour discovery may have sent something meanwhile.
        for (name, direction, counter) in [
            ("rx_packets", "rx", "packets"),
            ("tx_bytes", "tx", "bytes"),
            ("tx_dropped", "tx", "dropped"),
        ] {
            let then = ours["statistics"][name].as_u64().unwrap();
            let now = theirs["stats64"][direction][counter].as_u64().unwrap();
            assert!(then <= now && now - then < 10_000, "{name}: {then} and {now}");
        }
    }
    let vxlan = ours.iter().find(|link| link["name"] == "vxlan.calico").unwrap();
    assert_eq!(vxlan["detail"]["id"], 4096);
    assert_eq!(vxlan["detail"]["local"], "10.0.0.1");
    assert_eq!(vxlan["detail"]["port"], 4789);
    assert_eq!(vxlan["detail"]["learning"], false);
    assert_eq!(vxlan["detail"]["link"], "v0");
    let bridge = ours.iter().find(|link| link["name"] == "br0").unwrap();
    let theirs = after.iter().find(|link| link["ifname"] == "br0").unwrap();
    let data = &theirs["linkinfo"]["info_data"];
    for (name, theirs) in [
        ("ageing_time_ticks", "ageing_time"),
        ("stp_state", "stp_state"),
        ("priority", "priority"),
        ("vlan_default_pvid", "vlan_default_pvid"),
    ] {
        assert_eq!(bridge["detail"][name], data[theirs], "{name}");
    }
    assert_eq!(bridge["detail"]["nf_call_iptables"], data["nf_call_iptables"] == 1);
    let port = ours.iter().find(|link| link["name"] == "v1").unwrap();
    assert_eq!((&port["port_of"], &port["port"]["hairpin"]), (&json!("bridge"), &json!(false)));
    // A name that would do something to a terminal is exact here.
    assert!(ours.iter().any(|link| link["name"] == "odd\u{202e}x"));
}

#[test]
fn addresses_are_those_of_ip_address() {
    let Some(net) = net() else { return };
    let mut theirs = Vec::new();
    for link in net.ask("ip -j address") {
        for address in link["addr_info"].as_array().unwrap() {
            let family = if address["family"] == "inet" { "ipv4" } else { "ipv6" };
            theirs.push(json!([
                link["ifname"],
                family,
                address["local"],
                address["prefixlen"],
                address["address"],
                address["broadcast"],
                address["label"],
                address["scope"],
                address["valid_life_time"] == u32::MAX,
            ]));
        }
    }
    let ours = net.rows("network/addresses.json", "addresses");
    let of = |address: &Value| {
        json!([
            address["dev"],
            address["family"],
            address["address"],
            address["prefix_length"],
            address["peer"],
            address["broadcast"],
            address["label"],
            address["scope"],
            address["valid_seconds"] == u32::MAX,
        ])
    };
    same(ours.iter().map(of).collect(), theirs);
}

/// As `ip` writes it: without the length of a host's own address.
fn destination(ours: &Value) -> String {
    let prefix = text(ours);
    match prefix {
        "0.0.0.0/0" | "::/0" => "default".to_owned(),
        _ => prefix
            .strip_suffix("/32")
            .or_else(|| prefix.strip_suffix("/128"))
            .unwrap_or(prefix)
            .to_owned(),
    }
}

#[test]
fn routes_are_those_of_ip_route_in_all_tables() {
    let Some(net) = net() else { return };
    let mut theirs = Vec::new();
    for family in [4, 6] {
        for route in net.ask(&format!("ip -{family} -j -N -d route show table all")) {
            let number = |value: &Value| value.as_u64().or_else(|| text(value).parse().ok());
            let nexthops = route["nexthops"].as_array().cloned().unwrap_or_default();
            let nexthops: Vec<Value> = nexthops
                .iter()
                .map(|hop| json!([hop["gateway"], hop["dev"], hop["weight"], hop["flags"]]))
                .collect();
            // With -N it says numbers for what has a name.
            let types = [
                "",
                "unicast",
                "local",
                "broadcast",
                "anycast",
                "multicast",
                "blackhole",
                "unreachable",
                "prohibit",
                "throw",
            ];
            let kind = number(&route["type"])
                .map_or(text(&route["type"]), |kind| types[usize::try_from(kind).unwrap()]);
            let via =
                if route["via"].is_null() { &route["gateway"] } else { &route["via"]["host"] };
            theirs.push(json!([
                format!("ipv{family}"),
                kind,
                route["dst"],
                number(&route["table"]).unwrap_or(254),
                number(&route["protocol"]),
                route["metric"],
                via,
                route["dev"],
                route["prefsrc"],
                route["flags"],
                nexthops,
                route["metrics"][0]["mtu"],
            ]));
        }
    }
    let ours = net.rows("network/routes.json", "routes");
    let of = |route: &Value| {
        let nexthops = route["nexthops"].as_array().unwrap().iter();
        let nexthops: Vec<Value> = nexthops
            .map(|hop| json!([hop["gateway"], hop["dev"], hop["weight"], hop["flags"]]))
            .collect();
        json!([
            route["family"],
            route["type"],
            destination(&route["destination"]),
            route["table"],
            route["protocol"],
            route["metric"],
            route["gateway"],
            route["dev"],
            route["source"],
            route["flags"],
            nexthops,
            route["metrics"]["mtu"],
        ])
    };
    same(ours.iter().map(of).collect(), theirs);
    let row = |destination: &str| {
        ours.iter()
            .find(|route| route["destination"] == destination)
            .unwrap_or_else(|| panic!("no {destination}"))
    };
    assert_eq!(row("192.168.1.0/26")["protocol_name"], "bird");
    assert_eq!(row("192.168.0.0/26")["protocol_name"], "calico");
    assert_eq!(row("192.168.9.0/24")["scope"], "link");
    assert_eq!(row("192.168.7.0/24")["gateway"], "fd00::2");
    assert_eq!(row("::/0")["preference"], "high");
}

#[test]
fn rules_are_those_of_ip_rule() {
    let Some(net) = net() else { return };
    let prefix = |address: &Value, length: &Value, all: u64| match text(address) {
        "all" | "" => Value::Null,
        address => json!(format!("{address}/{}", length.as_u64().unwrap_or(all))),
    };
    let hex = |value: &Value| u32::from_str_radix(text(value).trim_start_matches("0x"), 16).ok();
    let mut theirs = Vec::new();
    for (family, all) in [(4, 32), (6, 128)] {
        for rule in net.ask(&format!("ip -{family} -j -N rule")) {
            let table: u64 = text(&rule["table"]).parse().unwrap_or_default();
            theirs.push(json!([
                format!("ipv{family}"),
                rule["priority"],
                prefix(&rule["src"], &rule["srclen"], all),
                prefix(&rule["dst"], &rule["dstlen"], all),
                table,
                hex(&rule["fwmark"]),
                rule["iif"],
                rule["oif"],
                rule["suppress_prefixlen"],
                rule.get("not").is_some(),
            ]));
        }
    }
    let ours = net.rows("network/rules.json", "rules");
    let of = |rule: &Value| {
        json!([
            rule["family"],
            rule["priority"],
            rule["from"],
            rule["to"],
            rule["table"],
            rule["fwmark"],
            rule["iif"],
            rule["oif"],
            rule["suppress_prefix_length"],
            rule["flags"] == json!(["not"]),
        ])
    };
    same(ours.iter().map(of).collect(), theirs);
    let row = |priority: u64| ours.iter().find(|rule| rule["priority"] == priority).unwrap();
    assert_eq!(row(99)["fwmask"], 0x10_0000);
    assert_eq!(row(101)["action"], "blackhole");
    assert_eq!(row(102)["destination_ports"], json!([100, 200]));
    assert_eq!(row(102)["ip_protocol"], "tcp");
}

#[test]
fn neighbours_are_those_of_ip_neighbour() {
    let Some(net) = net() else { return };
    let theirs = net.ask("ip -j neighbour show nud all");
    // Multicast comes and goes.
    let is_steady = |mac: &Value| text(mac).starts_with("ee:");
    let theirs = theirs.iter().filter(|row| is_steady(&row["lladdr"])).map(|row| {
        json!([row["dst"], row["lladdr"], row["dev"], text(&row["state"][0]).to_lowercase()])
    });
    let ours = net.rows("network/neighbours.json", "neighbours");
    let ours = ours
        .iter()
        .filter(|row| is_steady(&row["mac"]))
        .map(|row| json!([row["address"], row["mac"], row["dev"], row["state"][0]]));
    same(ours.collect(), theirs.collect());
}

#[test]
fn forwarding_entries_are_those_of_bridge_fdb() {
    let Some(net) = net() else { return };
    // Those of multicast groups, and what was learnt, come and go.
    let is_steady = |row: &Value| text(&row["mac"]).starts_with("66:2a");
    let theirs = net.ask("bridge -j -d fdb");
    let theirs = theirs.iter().filter(|row| is_steady(row)).map(|row| {
        json!([
            row["mac"],
            row["ifname"],
            row["dst"],
            row["vni"],
            row["port"],
            row["flags"],
            text(&row["state"]).to_owned()
        ])
    });
    let ours = net.rows("network/fdb.json", "fdb");
    let ours = ours.iter().filter(|row| is_steady(row)).map(|row| {
        json!([
            row["mac"],
            row["dev"],
            row["destination"],
            row["vni"],
            row["port"],
            row["flags"],
            text(row["state"].as_array().unwrap().last().unwrap())
        ])
    });
    same(ours.collect(), theirs.collect());
}

#[test]
fn queueing_disciplines_are_those_of_tc() {
    let Some(net) = net() else { return };
    let theirs = net.ask("tc -j -s qdisc");
    let theirs = theirs.iter().map(|row| {
        // tc writes 0: where there is no handle.
        json!([
            row["dev"],
            row["kind"],
            row["handle"],
            row["root"],
            row["drops"],
            row["overlimits"]
        ])
    });
    let ours = net.rows("network/qdiscs.json", "qdiscs");
    let ours = ours.iter().map(|row| {
        let handle = if row["handle"] == "none" { json!("0:") } else { row["handle"].clone() };
        json!([
            row["dev"],
            row["kind"],
            handle,
            row["parent"] == "root",
            row["drops"],
            row["overlimits"]
        ])
    });
    same(ours.collect(), theirs.collect());
}

#[test]
fn sockets_are_those_of_ss_with_their_owners() {
    let Some(net) = net() else { return };
    let names = [("LISTEN", "listen"), ("ESTAB", "established"), ("UNCONN", "closed")];
    let mut theirs = Vec::new();
    for (option, protocol) in [("-t", "tcp"), ("-u", "udp")] {
        for line in net.namespaces.run(&format!("ss -H -a -n -e {option}")).lines() {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let state = names.iter().find(|(name, _)| *name == words[0]).unwrap().1;
            let inode = words.iter().find_map(|word| word.strip_prefix("ino:")).unwrap();
            // 0 stands for none.
            let inode = inode.parse::<u64>().ok().filter(|inode| *inode != 0);
            theirs.push(json!([protocol, state, words[3], words[4], inode]));
        }
    }
    let ours = net.rows("network/sockets.json", "sockets");
    let end = |address: &Value, port: &Value| {
        let address = match (text(address), port.as_u64().unwrap()) {
            (address, port) if address.contains(':') => format!("[{address}]:{port}"),
            (address, port) => format!("{address}:{port}"),
        };
        address.strip_suffix(":0").map_or(address.clone(), |address| format!("{address}:*"))
    };
    let of = |row: &Value| {
        json!([
            row["protocol"],
            row["state"],
            end(&row["local"], &row["local_port"]),
            end(&row["remote"], &row["remote_port"]),
            row["inode"],
        ])
    };
    same(ours.iter().map(of).collect(), theirs);
    let connected = |row: &&Value| row["protocol"] == "udp" && row["remote_port"] == 5000;
    let owner = &ours.iter().find(connected).unwrap()["processes"][0];
    assert_eq!(owner["name"], "sleep");
    let pid = owner["pid"].as_u64().unwrap();
    assert!(net.namespaces.run(&format!("cat /proc/{pid}/comm")).contains("sleep"));
}

#[test]
fn revisions_of_sets_are_those_of_ipset_list_and_within_those_of_their_types() {
    let Some(net) = net() else { return };
    let listed = net.namespaces.run("ipset list -terse");
    let mut theirs: Vec<[String; 3]> = Vec::new();
    for line in listed.lines() {
        match line.split_once(": ") {
            Some(("Name", name)) => theirs.push([name.to_owned(), String::new(), String::new()]),
            Some(("Type", kind)) => theirs.last_mut().unwrap()[1] = kind.to_owned(),
            Some(("Revision", number)) => theirs.last_mut().unwrap()[2] = number.to_owned(),
            _ => {}
        }
    }
    let sets = net.rows("netfilter/ipset_types.json", "sets");
    let ours =
        sets.iter().map(|row| json!([row["name"], row["type"], row["revision"].to_string()]));
    same(ours.collect(), theirs.iter().map(|set| json!(set)).collect());
    let types = net.rows("netfilter/ipset_types.json", "types");
    let mut compared = 0;
    for row in types.iter().filter(|row| !row["revision"].is_null()) {
        let range = row["oldest_revision"].as_u64().unwrap()..=row["revision"].as_u64().unwrap();
        for set in sets.iter().filter(|set| set["type"] == row["type"]) {
            assert!(range.contains(&set["revision"].as_u64().unwrap()), "{row} {set}");
            compared += 1;
        }
    }
    assert!(compared > 0, "{types:#?} {sets:#?}");
}

#[test]
fn ipsets_and_their_members_are_those_of_ipset_save() {
    let Some(net) = net() else { return };
    let sets = net.rows("netfilter/ipsets.json", "sets");
    let mut headers = Vec::new();
    let mut theirs = Vec::new();
    let option = |words: &[&str], name: &str| {
        let at = words.iter().position(|word| *word == name)?;
        words.get(at + 1).map(|value| (*value).to_owned())
    };
    for line in net.namespaces.run("ipset list -o save").lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        if words[0] == "create" {
            let number = |name| option(&words, name).and_then(|number| number.parse::<u64>().ok());
            headers.push(json!([
                words[1],
                words[2],
                number("maxelem"),
                number("hashsize"),
                number("timeout"),
                option(&words, "range"),
                words.contains(&"counters"),
                words.contains(&"comment"),
            ]));
        } else {
            let comment = line.split_once('"').map(|(_, comment)| comment.trim_end_matches('"'));
            theirs.push(json!([
                words[1],
                words[2],
                words.contains(&"nomatch"),
                comment,
                option(&words, "packets"),
                option(&words, "timeout").as_deref() == Some("0"),
            ]));
        }
    }
    let of = |set: &Value| {
        json!([
            set["name"],
            set["type"],
            set["maxelem"],
            set["hashsize"],
            set["timeout_seconds"],
            set["range"],
            set["counters"],
            set["comment"],
        ])
    };
    same(sets.iter().map(of).collect(), headers);
    let members = net.rows("netfilter/ipsets.json", "members");
    let of = |member: &Value| {
        let packets = member["packets"].as_u64().map(|count| count.to_string());
        json!([
            member["set"],
            member["member"],
            !member["nomatch"].is_null(),
            member["comment"],
            packets,
            member["timeout_seconds"] == 0,
        ])
    };
    same(members.iter().map(of).collect(), theirs);
    let terse = net.namespaces.run("ipset list -t nets");
    let nets = sets.iter().find(|set| set["name"] == "nets").unwrap();
    let field = |name: &str| {
        let line = terse.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(nets["references"], field("References"));
    assert_eq!(nets["entries"], field("Number of entries"));
    assert_eq!(nets["memory_bytes"], field("Size in memory"));
}

#[test]
fn the_rule_set_is_that_of_nft() {
    let Some(net) = net() else { return };
    let ruleset = net.namespaces.run("nft -j -a list ruleset");
    let ruleset: Value = serde_json::from_str(&ruleset).unwrap();
    let of = |kind: &str| -> Vec<&Value> {
        ruleset["nftables"].as_array().unwrap().iter().filter_map(|item| item.get(kind)).collect()
    };
    let path = "netfilter/nftables.json";
    let ours = net.rows(path, "tables");
    same(
        ours.iter().map(|row| json!([row["family"], row["name"], row["handle"]])).collect(),
        of("table").iter().map(|row| json!([row["family"], row["name"], row["handle"]])).collect(),
    );
    assert_eq!(ours[0]["comment"], "of a table");

    let ours = net.rows(path, "chains");
    let chain = |row: &Value, priority: &str| {
        json!([
            row["family"],
            row["table"],
            row["name"],
            row["handle"],
            row["type"],
            row["hook"],
            row[priority],
            row["policy"],
        ])
    };
    same(
        ours.iter().map(|row| chain(row, "priority")).collect(),
        of("chain").iter().map(|row| chain(row, "prio")).collect(),
    );
    let base: Vec<&Value> = ours.iter().filter(|row| row["flags"] == json!(["base"])).collect();
    assert_eq!(base.len(), 2);
    assert_eq!(ours.iter().find(|row| row["name"] == "other").unwrap()["comment"], "of a chain");

    let ours = net.rows(path, "sets");
    let theirs = [of("set"), of("map")].concat();
    same(
        ours.iter()
            .map(|row| json!([row["family"], row["table"], row["name"], row["handle"]]))
            .collect(),
        theirs
            .iter()
            .map(|row| json!([row["family"], row["table"], row["name"], row["handle"]]))
            .collect(),
    );
    let timed = ours.iter().find(|row| row["name"] == "timed").unwrap();
    assert_eq!(timed["timeout_milliseconds"], 3_600_000);
    assert_eq!((&timed["size"], &timed["comment"]), (&json!(100), &json!("of a set")));

    let ours = net.rows(path, "rules");
    let rule = |row: &Value| {
        json!([row["family"], row["table"], row["chain"], row["handle"], row["comment"]])
    };
    same(ours.iter().map(rule).collect(), of("rule").iter().map(|row| rule(row)).collect());
    let expressions = |row: &Value| {
        let list = row["expressions"].as_array().unwrap().iter();
        list.map(|one| text(&one["expression"]).to_owned()).collect::<Vec<_>>().join(" ")
    };
    let rules: Vec<String> =
        ours.iter().filter(|row| row["chain"] == "in").map(expressions).collect();
    assert_eq!(
        rules,
        [
            "payload lookup meta cmp payload cmp objref log immediate",
            "ct bitwise cmp immediate",
            "meta cmp payload lookup",
            "payload cmp immediate meta reject",
            "limit immediate",
        ]
    );
    let first = &ours.iter().find(|row| row["comment"] == "cali:my-rule").unwrap()["expressions"];
    assert_eq!(
        first[0],
        json!({"expression": "payload", "base": "network", "offset": 12, "bytes": 4, "destination": 1})
    );
    assert_eq!(first[1], json!({"expression": "lookup", "set": "s", "source": 1, "not": false}));
    assert_eq!(first[5], json!({"expression": "cmp", "source": 1, "op": "eq", "data": "0x0016"}));
    assert_eq!(first[6], json!({"expression": "objref", "type": "counter", "name": "c1"}));
    assert_eq!(first[8], json!({"expression": "immediate", "destination": 0, "data": "drop"}));

    let elements = net.rows(path, "elements");
    let find = |set: &str, key: &str| {
        elements.iter().find(|row| row["set"] == set && row["key"] == key).unwrap()
    };
    assert_eq!(find("m", "0x0050")["data"], "jump other");
    assert_eq!(find("s", "1.2.3.4")["comment"], "of an element");
    assert_eq!(find("s", "11.0.0.0")["flags"], json!(["interval-end"]));
    assert_eq!(find("timed", "1.1.1.1")["timeout_milliseconds"], 1_800_000);
    let generation = &net.documents[path];
    assert!(generation.contains("\"generation\":"));
}

#[test]
fn connections_are_those_of_conntrack() {
    let Some(net) = net() else { return };
    let listing = net.namespaces.run("conntrack -L -o extended,id 2>/dev/null");
    let mut theirs = Vec::new();
    for line in listing.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let values = |key: &str| -> Vec<&str> {
            words.iter().filter_map(|word| word.strip_prefix(key)).collect()
        };
        let pair = |key: &str, at: usize| values(key).get(at).map(|value| (*value).to_owned());
        let id: u64 = values("id=")[0].parse().unwrap();
        // What happens in the namespace meanwhile is not compared.
        if !line.contains("=2.2.2.2") && !line.contains("=fd00::6") {
            continue;
        }
        let state = (words[2] == "tcp").then(|| words[5].to_lowercase());
        theirs.push(json!([
            words[0],
            words[2],
            state,
            pair("src=", 0),
            pair("dst=", 0),
            pair("src=", 1),
            pair("sport=", 0),
            pair("dport=", 1),
            pair("type=", 0),
            pair("id=", 0),
            id.to_string(),
            pair("mark=", 0),
            line.contains("ASSURED"),
            !line.contains("UNREPLIED"),
        ]));
    }
    let ours = net.rows("netfilter/conntrack.json", "connections");
    let number = |value: &Value| value.as_u64().map(|number| number.to_string());
    let of = |row: &Value| {
        let (original, reply) = (&row["original"], &row["reply"]);
        let status = row["status"].as_array().unwrap();
        // conntrack calls both the id of ICMP and that of the entry `id`.
        let first = if original["icmp_id"].is_null() { &row["id"] } else { &original["icmp_id"] };
        let id = if original["icmp_id"].is_null() { &row["id"] } else { &original["icmp_id"] };
        json!([
            row["family"],
            row["protocol"],
            row["state"],
            original["source"],
            original["destination"],
            reply["source"],
            number(&original["source_port"]),
            number(&reply["destination_port"]),
            number(&original["icmp_type"]),
            number(first),
            number(id),
            number(&row["mark"]),
            status.contains(&json!("assured")),
            status.contains(&json!("seen-reply")),
        ])
    };
    let ours: Vec<&Value> = ours
        .iter()
        .filter(|row| ["2.2.2.2", "fd00::6"].contains(&text(&row["original"]["destination"])))
        .collect();
    same(ours.into_iter().map(of).collect(), theirs);
}

#[test]
fn counters_of_connection_tracking_are_those_of_conntrack() {
    let Some(net) = net() else { return };
    let document: Value =
        serde_json::from_str(&net.documents["netfilter/conntrack_stats.json"]).unwrap();
    let cpus = net.rows("netfilter/conntrack_stats.json", "cpus");
    let listing = net.namespaces.run("conntrack -S");
    assert_eq!(listing.lines().count(), cpus.len());
    for (line, cpu) in listing.lines().zip(&cpus) {
        for word in line.split_ascii_whitespace() {
            let (name, count) = word.split_once('=').unwrap();
            let then = cpu[name].as_u64().unwrap_or_else(|| panic!("no {name} in {cpu}"));
            let now: u64 = count.parse().unwrap();
            assert!(then <= now && now - then < 100, "{name}: {then} and {now}");
        }
    }
    let limit = net.namespaces.run("cat /proc/sys/net/netfilter/nf_conntrack_max");
    assert_eq!(document["max"].as_u64(), limit.trim().parse().ok());
    assert!(document["entries"].as_u64().unwrap() >= 4);
}

#[test]
fn offload_features_are_read_of_all_but_the_pods_links() {
    let Some(net) = net() else { return };
    let rows = net.rows("network/features.json", "features");
    let vxlan = rows.iter().find(|row| row["dev"] == "vxlan.calico").unwrap();
    // What ethtool -K TUNNEL tx-checksum-ip-generic off turns off.
    assert_eq!(vxlan["features"]["tx-checksum-ip-generic"], true);
    assert_eq!(vxlan["features"]["rx-fcs"], false);
    assert!(vxlan["fixed"].as_array().unwrap().contains(&json!("rx-fcs")));
    assert!(!vxlan["fixed"].as_array().unwrap().contains(&json!("tx-checksum-ip-generic")));
}
