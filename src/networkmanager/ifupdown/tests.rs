use super::*;

fn names(files: &[(&str, &str)]) -> Vec<String> {
    let files = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()));
    let found = interfaces(&files.collect());
    let show =
        |(name, origin): &(Vec<u8>, Origin)| format!("{} {origin}", String::from_utf8_lossy(name));
    found.names.iter().map(show).collect()
}

#[test]
fn interfaces_have_names_in_the_file_and_in_those_that_it_names() {
    let main =
        "auto lo eth0\niface lo inet loopback\niface eth0 inet \\\n dhcp\nsource interfaces.d/*\n";
    let more = "# x\niface cali1 inet manual\niface short\n";
    assert_eq!(
        names(&[(MAIN, main), ("/etc/network/interfaces.d/a", more)]),
        ["eth0 /etc/network/interfaces:3", "cali1 /etc/network/interfaces.d/a:2"]
    );
}

#[test]
fn of_a_bridge_its_ports_count() {
    let text = "iface br0 inet static\n  bridge_ports eth1 none\n";
    assert_eq!(names(&[(MAIN, text)]), ["eth1 /etc/network/interfaces:2"]);
}

#[test]
fn files_that_name_each_other_come_to_an_end() {
    let text = "source /etc/network/interfaces\niface eth0 inet dhcp\n";
    assert!(!names(&[(MAIN, text)]).is_empty());
}
