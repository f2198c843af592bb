//! Configurations as people write them, and as nobody should: the same ones for the same number.

/// The devices of the lab and their kinds: of veths only this end has a name worth judging.
pub(crate) const DEVICES: [(&str, &str); 12] = [
    ("cali0123456789a", "veth"),
    ("cali1", "veth"),
    ("caliB2", "veth"),
    ("tunl9", "veth"),
    ("a,b", "veth"),
    ("=c", "veth"),
    ("x*y", "veth"),
    ("eth7", "veth"),
    ("vxlan.calico", "vxlan"),
    ("vxlan-v6.calico", "vxlan"),
    ("tun1", "tun"),
    ("br7", "bridge"),
];

/// All files of one configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Configuration {
    /// Paths and contents.
    pub(crate) files: Vec<(String, Vec<u8>)>,
    /// Symbolic links and their targets.
    pub(crate) links: Vec<(String, String)>,
}

/// Random numbers (`SplitMix64`), the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.roll() % u64::try_from(limit).unwrap()).unwrap()
    }

    fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

const FOLDERS: [&str; 3] =
    ["/usr/lib/NetworkManager/conf.d", "/run/NetworkManager/conf.d", "/etc/NetworkManager/conf.d"];

const NAMES: [&str; 12] = [
    "calico.conf",
    "calico.conf",
    "10-a.conf",
    "10-globally-managed-devices.conf",
    "99-z.conf",
    "Z.conf",
    "a.conf",
    "b.CONF",
    "c.conf~",
    ".conf",
    "\u{fc}.conf",
    "90-x.conf",
];

const BOOLEANS: [&str; 14] =
    ["1", "0", "true", "false", "yes", "no", "on", "off", "TRUE", "False", "2", "", " 0", "\\s0"];

/// Configuration number `seed`.
pub(crate) fn configuration(seed: u64) -> Configuration {
    let mut dice = Dice(seed);
    let mut configuration = Configuration::default();
    if dice.percent(80) {
        let content = file(&mut dice, true);
        configuration.files.push(("/etc/NetworkManager/NetworkManager.conf".to_owned(), content));
    }
    if dice.percent(4) {
        let content = file(&mut dice, true);
        configuration
            .files
            .push(("/etc/NetworkManager/nm-system-settings.conf".to_owned(), content));
    }
    for _ in 0..dice.below(6) {
        let path = format!("{}/{}", dice.pick(&FOLDERS), dice.pick(&NAMES));
        let is_there = configuration.files.iter().any(|(other, _)| *other == path)
            || configuration.links.iter().any(|(other, _)| *other == path);
        if is_there {
            continue;
        }
        if dice.percent(2) {
            let target = dice.pick(&["/dev/null", "/nowhere"]);
            configuration.links.push((path, target.to_owned()));
        } else {
            let content = if dice.percent(5) { Vec::new() } else { file(&mut dice, false) };
            configuration.files.push((path, content));
        }
    }
    if dice.percent(15) {
        let content = intern(&mut dice, &configuration);
        let path = "/var/lib/NetworkManager/NetworkManager-intern.conf".to_owned();
        configuration.files.push((path, content));
    }
    if dice.percent(15) {
        let name = DEVICES[dice.below(DEVICES.len())].0;
        let content =
            format!("auto lo\niface lo inet loopback\n\nauto {name}\niface {name} inet dhcp\n");
        configuration.files.push(("/etc/network/interfaces".to_owned(), content.into_bytes()));
    }
    configuration
}

fn file(dice: &mut Dice, is_main: bool) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    if dice.percent(30) {
        lines.push(b"# Written by hand".to_vec());
    }
    if !is_main && dice.percent(12) {
        lines.push(b"[.config]".to_vec());
        lines.push(format!("enable={}", enable(dice)).into_bytes());
    }
    for _ in 0..=dice.below(3) {
        section(dice, &mut lines);
    }
    damage(dice, &mut lines);
    let end = if dice.percent(10) { "\r\n" } else { "\n" };
    let mut content = lines.join(end.as_bytes());
    if dice.percent(85) {
        content.extend_from_slice(end.as_bytes());
    }
    content
}

fn section(dice: &mut Dice, lines: &mut Vec<Vec<u8>>) {
    match dice.below(10) {
        0..=4 => {
            lines.push(b"[keyfile]".to_vec());
            for _ in 0..=dice.below(2) {
                let key = dice.pick(&[
                    "unmanaged-devices",
                    "unmanaged-devices",
                    "unmanaged-devices",
                    "unmanaged-devices+",
                    "unmanaged-devices+",
                    "unmanaged-devices-",
                    "unmanaged-devices ",
                    "Unmanaged-Devices",
                    "unmanaged-devices[de]",
                    "path+",
                ]);
                lines.push([key.as_bytes(), equals(dice), &specs(dice)].concat());
            }
        }
        5..=7 => {
            let name = dice.pick(&["device", "device-x", "device-a", "device.b", "devicecali"]);
            lines.push(format!("[{name}]").into_bytes());
            if dice.percent(75) {
                let key =
                    dice.pick(&["match-device", "match-device", "match-device+", "match-device-"]);
                lines.push([key.as_bytes(), equals(dice), &specs(dice)].concat());
            }
            if dice.percent(85) {
                let value = dice.pick(&BOOLEANS);
                lines.push([b"managed", equals(dice), value.as_bytes()].concat());
            }
            if dice.percent(15) {
                let value = dice.pick(&BOOLEANS);
                lines.push([b"stop-match", equals(dice), value.as_bytes()].concat());
            }
        }
        8 => {
            lines.push(b"[main]".to_vec());
            let key = dice.pick(&["plugins", "plugins+", "plugins-", "no-auto-default", "dhcp"]);
            let value = match key {
                "dhcp" => dice.pick(&["internal", "nettools", "systemd", "nothing", ""]).into(),
                "no-auto-default" => specs(dice),
                _ => dice
                    .pick(&[
                        "keyfile",
                        "ifupdown,keyfile",
                        "ifupdown",
                        "",
                        "a\\,b,c",
                        "x\\y",
                        " keyfile",
                    ])
                    .into(),
            };
            lines.push([key.as_bytes(), b"=", value.as_slice()].concat());
        }
        _ => {
            let other = dice.pick(&[
                "[ifupdown]\nmanaged=true",
                "[ifupdown]\nmanaged=false",
                "[ifupdown]\nmanaged=1x",
                "[connection]\nipv6.ip6-privacy=2",
                "[connection-a]\nmatch-device+=interface-name:cali*\nwifi.powersave=2",
                "[.intern.x]\nunmanaged-devices=*",
                "[keyfile]\n.set.unmanaged-devices=*",
                "[Keyfile]\nunmanaged-devices=*",
                "[ keyfile ]\nunmanaged-devices=*",
                "[logging]\ndomains+=ALL,IP4",
            ]);
            lines.extend(other.split('\n').map(|line| line.as_bytes().to_vec()));
        }
    }
}

fn equals(dice: &mut Dice) -> &'static [u8] {
    dice.pick(&["=", "=", "=", "=", " = ", "=\t", "= "]).as_bytes()
}

/// What hands and editors do to a file.
fn damage(dice: &mut Dice, lines: &mut Vec<Vec<u8>>) {
    let at = dice.below(lines.len());
    match dice.below(100) {
        0..=4 => lines.insert(at, Vec::new()),
        5..=8 => lines.insert(at, b"   # indented".to_vec()),
        9..=11 => lines.insert(at, b"  ".to_vec()),
        12..=15 => lines[at].insert(0, b' '),
        16..=18 => lines[at].push(b' '),
        19 => lines[at].push(b'\r'),
        20 => lines.insert(at, b"no value".to_vec()),
        21 => lines[0].splice(0..0, *b"\xef\xbb\xbf").for_each(drop),
        22 => lines[at].extend(b"\xff"),
        23 => lines[at].extend(b"\0rest"),
        24 => lines.insert(0, b"key=value".to_vec()),
        25 => lines.insert(at, b"=value".to_vec()),
        26 => lines.insert(at, b"; not a comment".to_vec()),
        27 => lines.insert(at, b"Encoding=latin1".to_vec()),
        _ => {}
    }
}

fn enable(dice: &mut Dice) -> String {
    let mut conditions = Vec::new();
    for _ in 0..=dice.below(2) {
        let except = if dice.percent(20) { "except:" } else { "" };
        let condition = dice.pick(&[
            "nm-version:1.42.4",
            "nm-version:1.42",
            "nm-version:1.40",
            "nm-version-min:1.40",
            "nm-version-min:1.40.2",
            "nm-version-min:1.42.2",
            "nm-version-min:1.43",
            "nm-version-max:1.42",
            "nm-version-max:1.44",
            "nm-version-max:1.42.3",
            "nm-version-min:2",
            "nm-version-min:1.x",
            "nm-version:1.42.4.1",
            "env:TAG",
            "true",
            "NM-VERSION:1.42",
        ]);
        conditions.push(format!("{except}{condition}"));
    }
    if dice.percent(25) { dice.pick(&BOOLEANS).to_owned() } else { conditions.join(",") }
}

fn specs(dice: &mut Dice) -> Vec<u8> {
    if dice.percent(4) {
        return Vec::new();
    }
    let mut text = Vec::new();
    for index in 0..=dice.below(4) {
        if index > 0 {
            text.extend(dice.pick(&[";", ",", ";", ",", "; ", " , ", ";;", ""]).as_bytes());
        }
        if dice.percent(15) {
            text.extend(dice.pick(&["except:", "EXCEPT:", "except: "]).as_bytes());
        }
        text.extend(spec(dice));
    }
    if dice.percent(2) {
        text.push(b'\\');
    }
    text
}

fn spec(dice: &mut Dice) -> Vec<u8> {
    let device = DEVICES[dice.below(DEVICES.len())].0;
    let escaped = device.replace(',', "\\,").replace(';', "\\;");
    let text = match dice.below(20) {
        0..=5 => {
            let tag = dice.pick(&["interface-name:", "interface-name:", "Interface-Name:"]);
            let glob = dice.pick(&[
                "cali*",
                "cali*",
                "tunl*",
                "vxlan.calico",
                "vxlan*",
                "cali?",
                "c*l*",
                "*",
                "?ali*",
                "*1",
                "a*",
                "[c]ali*",
                "x\\*y",
                "~cali*",
                "~=c",
                "cali* ",
                " cali*",
                "cali* x",
                "",
            ]);
            format!("{tag}{glob}")
        }
        6 | 7 => format!("interface-name:={escaped}"),
        8 => format!("interface-name:{escaped}"),
        9 => escaped,
        10 => dice.pick(&["cali*", "*", "=c", "interface-name", ":", "foo:bar"]).to_owned(),
        11 | 12 => {
            let wanted = dice
                .pick(&["ethernet", "veth", "vxlan", "tun", "bridge", "Ethernet", "iptunnel", ""]);
            format!("{}{wanted}", dice.pick(&["type:", "TYPE:", "type: "]))
        }
        13..=15 => {
            let wanted = dice.pick(&[
                "veth",
                "vxlan",
                "tun",
                "bridge",
                "ve/1.0",
                "veth/1.?",
                "veth/*",
                "/1.*",
                "/",
                "v/2",
                "vxlan/0.1",
                "tun/**",
                "VETH",
            ]);
            format!("driver:{wanted}")
        }
        16 => dice.pick(&["mac:66:2a:5b:00:00:01", "66-2a-5b-0-0-1", "mac:", "mac:zz"]).to_owned(),
        17 => dice.pick(&["s390-subchannels:0.0.09a0", "s390-subchannels:x"]).to_owned(),
        18 => {
            dice.pick(&["dhcp-plugin:internal", "dhcp-plugin:nettools", "dhcp-plugin:"]).to_owned()
        }
        _ => dice
            .pick(&["\\s", "a\\sb", "\\xcali1", "interface-name:cali1\\,x", "\u{e9}"])
            .to_owned(),
    };
    text.into_bytes()
}

/// What `NetworkManager` writes for itself, with values that still hold and that hold no more.
fn intern(dice: &mut Dice, configuration: &Configuration) -> Vec<u8> {
    let mut text = b"# Internal configuration file.\n[keyfile]\n".to_vec();
    // The value as the last file may have set it.
    let line =
        configuration.files.iter().flat_map(|(_, content)| content.split(|byte| *byte == b'\n'));
    let line = line.filter_map(|line| line.strip_prefix(b"unmanaged-devices=")).next_back();
    if let Some(was) = line.filter(|_| dice.percent(80)) {
        text.extend([b".was.unmanaged-devices=", was, b"\n"].concat());
    }
    if dice.percent(70) {
        text.extend([b".set.unmanaged-devices=", specs(dice).as_slice(), b"\n"].concat());
    }
    if dice.percent(30) {
        text.extend(b"stray=1\n");
    }
    if dice.percent(30) {
        text.extend(b"[device-intern]\n.set.managed=0\n.set.match-device=interface-name:cali1\n");
    }
    text
}
