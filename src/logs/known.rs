//! Messages whose meaning is known: what each says in plain words, and what mends it.

use super::Message;

/// What is known of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// What stands in the message, in lower case; all of it must.
    pub words: &'static [&'static str],
    /// What it means.
    pub meaning: &'static str,
    /// What mends it, or where to look.
    pub mend: &'static str,
}

/// What is known, the more special before the more general. The words are those of Calico's and BIRD's source.
pub const KNOWN: &[Known] = &[
    Known {
        words: &["typha", "x509"],
        meaning: "the TLS certificates of Felix and Typha do not fit each other, or have run out",
        mend: "kubectl get secret -A | grep -e node-certs -e typha-certs   # renew them, then restart calico-node and calico-typha",
    },
    Known {
        words: &["failed to connect to typha"],
        meaning: "Felix cannot reach Typha (TCP 5473), through which it gets all that is in the datastore",
        mend: "open TCP 5473 from every node to those that run calico-typha; kubectl get pods -A -l k8s-app=calico-typha -o wide",
    },
    Known {
        words: &["connection to typha"],
        meaning: "the connection to Typha was lost or cannot be made",
        mend: "kubectl get pods -A -l k8s-app=calico-typha -o wide   # does one run, and is TCP 5473 open to it?",
    },
    Known {
        words: &["unauthorized"],
        meaning: "the Kubernetes API does not take the token: it has expired, the service account was made anew, or a clock is wrong",
        mend: "restart calico-node, which gets a new token; then compare the clocks (timedatectl)",
    },
    Known {
        words: &["nodename", "no such file"],
        meaning: "calico-node has not started on this node, so that pods get no network",
        mend: "calivet check felix; kubectl logs -n calico-system ds/calico-node -c calico-node --tail=50 (kube-system where there is no operator)",
    },
    Known {
        words: &["xtables lock"],
        meaning: "another program holds the lock of iptables for long",
        mend: "sudo fuser -v /run/xtables.lock   # who holds it; thousands of kube-proxy's rules are the usual reason",
    },
    Known {
        words: &["kernel support protocol", "ipset"],
        meaning: "the ipset program in calico-node is older than the sets that another program made in this kernel",
        mend: "upgrade Calico, or remove the sets of the other program and restart calico-node",
    },
    Known {
        words: &["ipset", "fail"],
        meaning: "IP sets cannot be programmed: the module ip_set is missing, or another program's sets are in the way",
        mend: "sudo modprobe ip_set; lsmod | grep ip_set   # then look for the first ipset error in Felix's log",
    },
    Known {
        words: &["module", "not found in directory"],
        meaning: "the running kernel has no modules on disk: it was updated and the node not rebooted, or they are in a package of their own",
        mend: "ls /lib/modules/$(uname -r)   # where it is missing, reboot or install the kernel's extra modules",
    },
    Known {
        words: &["iptables-restore", "fail"],
        meaning: "iptables rules cannot be written",
        mend: "look at what iptables says below it in the log: a missing match or target is a missing kernel module",
    },
    Known {
        words: &["iptables-save", "fail"],
        meaning: "iptables rules cannot be read",
        mend: "look at what iptables says below it in the log; rules that nft wrote cannot be read by iptables",
    },
    Known {
        words: &["nft", "fail"],
        meaning: "nftables rules cannot be read or written",
        mend: "sudo nft list ruleset   # does it work, and is a newer nft's syntax in another table?",
    },
    Known {
        words: &["bpf", "not supported"],
        meaning: "the kernel lacks what the eBPF dataplane needs, and Felix uses iptables",
        mend: "uname -r   # 5.3 or newer is needed (RHEL: 4.18.0-193); or set bpfEnabled to false",
    },
    Known {
        words: &["bpf", "fail"],
        meaning: "an eBPF program could not be loaded or attached: an interface is without policy",
        mend: "mount | grep -e bpf -e cgroup2; cat /sys/kernel/security/lockdown   # what the eBPF dataplane needs",
    },
    Known {
        words: &["tunnel", "admin up"],
        meaning: "somebody else set the tunnel's link down",
        mend: "calivet check networkmanager",
    },
    Known {
        words: &["conflicting route"],
        meaning: "a route that another program made is where Felix wants its own",
        mend: "ip route show table all   # whose is it? another CNI's or a leftover link's: delete it",
    },
    Known {
        words: &["rp_filter"],
        meaning: "reverse path filtering is set loose (2), with which pods could fake addresses: Felix refuses to go on",
        mend: "sudo sysctl -w net.ipv4.conf.all.rp_filter=1, or set FelixConfiguration allowing it (ignoreLooseRPF: true)",
    },
    Known {
        words: &["dataplane", "timed out"],
        meaning: "the dataplane did not report in time: the node is overloaded or an operation hangs",
        mend: "calivet check felix   # health names the component; top and /proc/pressure tell whether the CPU is short",
    },
    Known {
        words: &["failed to apply", "retry"],
        meaning: "a change could not be made in the kernel, and is tried again",
        mend: "look at the line above it in the log, which names the operation",
    },
    Known {
        words: &["already using the ipv"],
        meaning: "another node is registered with this node's address",
        mend: "calicoctl get nodes -o wide   # delete the stale one: calicoctl delete node NAME",
    },
    Known {
        words: &["autodetect an ip"],
        meaning: "calico-node found no address of this node to use",
        mend: "set IP_AUTODETECTION_METHOD of calico-node (kubernetes-internal-ip, interface=, cidr=)",
    },
    Known {
        words: &["unable to open configuration file"],
        meaning: "BIRD has no configuration: confd has not written it",
        mend: "look for confd's errors in the same log: it waits for the datastore or Typha",
    },
    Known {
        words: &["bind: address already in use"],
        meaning: "another process holds BGP's port",
        mend: "sudo ss -tlnp 'sport = 179'; calivet check bgp",
    },
    Known {
        words: &["bind: cannot assign requested address"],
        meaning: "the session's source address is not on this host",
        mend: "calivet check bgp",
    },
    Known {
        words: &["bad peer as"],
        meaning: "the two ends of a BGP session expect different AS numbers",
        mend: "calivet check bgp",
    },
    Known {
        words: &["hold timer expired"],
        meaning: "a BGP session was lost: nothing was heard from the peer for the hold time",
        mend: "calivet check bgp   # the link, the CPU at either end, or the path's MTU",
    },
    Known { words: &["no space left on device"], meaning: "a file system is full", mend: "df -h" },
    Known {
        words: &["too many open files"],
        meaning: "a limit on open files or inotify watches is reached",
        mend: "sysctl fs.inotify.max_user_instances fs.inotify.max_user_watches fs.file-nr",
    },
    Known {
        words: &["forbidden", "cannot"],
        meaning: "the service account may not do this: Calico's cluster role is older than its image",
        mend: "apply the manifest (or operator) of the version that runs, which brings its cluster role",
    },
    Known {
        words: &["datastore", "connect"],
        meaning: "the datastore cannot be reached",
        mend: "is the Kubernetes API (or etcd) up, and reachable from this node?",
    },
    Known {
        words: &["connection refused"],
        meaning: "nobody listens where it connects to",
        mend: "look at the address in the message: the Kubernetes API, etcd or Typha is down there",
    },
    Known {
        words: &["i/o timeout"],
        meaning: "what it connects to does not answer",
        mend: "look at the address in the message: a firewall on the way, or the host is down",
    },
    Known {
        words: &["context deadline exceeded"],
        meaning: "a question was not answered in time",
        mend: "is the Kubernetes API (or etcd) slow, or this node overloaded?",
    },
];

/// What is known of a message.
#[must_use]
pub fn find(message: &Message) -> Option<&'static Known> {
    let text = message.sample.to_lowercase();
    KNOWN.iter().find(|known| known.words.iter().all(|words| text.contains(words)))
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    fn message(sample: &str) -> Message {
        Message {
            component: "felix".to_owned(),
            severity: Severity::Error,
            source: None,
            message: String::new(),
            sample: sample.to_owned(),
            count: 1,
            recent: 0,
            first: None,
            last: None,
        }
    }

    #[test]
    fn rows_are_sentences_and_their_words_can_be_found() {
        for Known { words, meaning, mend } in KNOWN {
            assert!(!words.is_empty() && words.iter().all(|words| *words == words.to_lowercase()));
            assert!(!meaning.ends_with('.') && !mend.is_empty(), "{meaning}");
        }
    }

    #[test]
    fn the_special_is_told_before_the_general() {
        let means = |sample: &str| find(&message(sample)).map(|known| known.meaning);
        let typha =
            means("Failed to connect to typha endpoint 10.0.0.1:5473 error=dial tcp: i/o timeout");
        assert!(typha.unwrap().contains("TCP 5473"));
        assert!(
            means("Failed to connect to Typha: x509: certificate has expired")
                .unwrap()
                .contains("TLS")
        );
        assert!(
            means("error getting ClusterInformation: connection is unauthorized: Unauthorized")
                .unwrap()
                .contains("token")
        );
        assert_eq!(means("Something that nobody has seen"), None);
    }
}
