//! A system bus of a lab's own, on which everybody may do everything.

use std::fs;

use super::namespaces::Namespaces;

/// What `dbus-daemon` is told, in `/run/bus.conf`.
pub(crate) const CONFIGURATION: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/>
<allow receive_sender="*"/></policy></busconfig>
"#;

/// Starts it, and waits until it answers.
pub(crate) fn start(namespaces: &Namespaces) {
    let path = format!("/proc/{}/root/run/bus.conf", namespaces.pid());
    fs::write(path, CONFIGURATION).unwrap();
    namespaces.run(
        "mkdir -p /run/dbus\n\
         dbus-daemon --config-file=/run/bus.conf --nofork --nopidfile >/run/bus.log 2>&1 &\n\
         for _ in $(seq 1000); do [[ -S /run/dbus/system_bus_socket ]] && exit 0; sleep 0.02; done\n\
         cat /run/bus.log; exit 1",
    );
}
