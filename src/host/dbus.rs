//! `NetworkManager` over the system's bus: what it says of its devices, and that it shall read its files again.
//!
//! Calls of `org.freedesktop.NetworkManager`: `Properties.GetAll` for the service and for each device; who owns the
//! name is asked of the bus itself, because anybody may answer on a bus whose policy lets him.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use jiff::Timestamp;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use zbus::connection::Builder;
use zbus::zvariant::{DynamicType, Type};
use zbus::{Connection, OwnedObjectPath, OwnedVariant, Variant};

use super::beneath::{self, describe};
use super::unix_socket::connect_to;
use super::{Outcome, Reading, file};
use crate::networkmanager::live::{Device, View};

const SOCKET: &str = "/run/dbus/system_bus_socket";
const NAME: &str = "org.freedesktop.NetworkManager";
const PATH: &str = "/org/freedesktop/NetworkManager";

/// The most devices that are asked for; a node with more pods than this is none of Calico's.
const MAX_DEVICES: usize = 4096;

/// The longest text that is kept of a property.
const MAX_TEXT: usize = 256;

/// The bound on a reload: `NetworkManager` reads a few small files.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(20);

/// `NM_MANAGER_RELOAD_FLAG_CONF`: the configuration only, not DNS.
const RELOAD_CONFIGURATION: u32 = 1;

/// Clock ticks a second in `/proc/PID/stat`, the same on every architecture that Linux shows to its users.
const TICKS: i64 = 100;

/// Why there is no answer.
struct Failure {
    outcome: Outcome,
    reason: String,
}

/// What `NetworkManager` says, as JSON. Nobody there is an answer, too; a bus that cannot be asked is none.
pub(super) async fn view(root: &Path, limit: Duration) -> Reading {
    let started = Instant::now();
    let mut reading = Reading::begin();
    let asked = timeout(limit, async {
        let connection = connect(root, limit).await?;
        look(&connection, root).await
    });
    let result = asked.await.unwrap_or_else(|_| {
        Err(Failure {
            outcome: Outcome::Timeout,
            reason: format!("{NAME} did not answer within {limit:?}"),
        })
    });
    let document = result.and_then(|view| {
        let failure = |error: serde_json::Error| Failure {
            outcome: Outcome::Failed,
            reason: error.to_string(),
        };
        serde_json::to_vec(&view).map_err(failure)
    });
    match document {
        Ok(bytes) => {
            reading.original_bytes = bytes.len() as u64;
            reading.bytes = bytes;
        }
        Err(failure) => {
            reading.outcome = failure.outcome;
            reading.reason = Some(failure.reason);
        }
    }
    reading.place = Some(SOCKET.to_owned());
    reading.duration = started.elapsed();
    reading
}

/// Has `NetworkManager` read its configuration again.
pub(super) async fn reload(root: &Path) -> anyhow::Result<()> {
    let reload = async {
        let connection = connect(root, RELOAD_TIMEOUT).await?;
        call::<_, ()>(&connection, NAME, PATH, NAME, "Reload", &(RELOAD_CONFIGURATION,)).await
    };
    let result = timeout(RELOAD_TIMEOUT, reload)
        .await
        .with_context(|| format!("{NAME} did not answer within {RELOAD_TIMEOUT:?}"))?;
    result.map_err(|failure| anyhow::anyhow!("failed to reload NetworkManager: {}", failure.reason))
}

async fn connect(root: &Path, limit: Duration) -> Result<Connection, Failure> {
    let stream = beneath::open_root(root)
        .and_then(|opened| beneath::open_beneath(opened, SOCKET, OFlag::O_PATH))
        .and_then(|found| connect_to(&found, root == Path::new("/"), SOCKET))
        .map_err(|errno| Failure {
            outcome: match errno {
                Errno::ENOENT | Errno::ENOTDIR => Outcome::Missing,
                Errno::EACCES | Errno::EPERM => Outcome::Denied,
                _ => Outcome::Failed,
            },
            reason: format!("{SOCKET}: {}", describe(errno)),
        })?;
    let builder = Builder::unix_stream(stream).method_timeout(limit);
    builder.build().await.map_err(failure)
}

async fn look(connection: &Connection, root: &Path) -> Result<View, Failure> {
    let owner: Result<String, Failure> = bus(connection, "GetNameOwner", NAME).await;
    let owner = match owner {
        Ok(owner) => owner,
        Err(failure) if failure.outcome == Outcome::Missing => return Ok(View::default()),
        Err(failure) => return Err(failure),
    };
    let uid = bus(connection, "GetConnectionUnixUser", &owner).await?;
    let pid = bus(connection, "GetConnectionUnixProcessID", &owner).await.ok();
    let mut view = View {
        running: true,
        uid: Some(uid),
        pid,
        started: pid.and_then(|pid| started(root, pid)),
        ..View::default()
    };
    if uid != 0 {
        // Whoever it is, it is not the service that manages this machine's devices.
        return Ok(view);
    }
    let properties = properties(connection, PATH, NAME).await?;
    view.version = text(&properties, "Version");
    view.networking_enabled = get(&properties, "NetworkingEnabled");
    let paths: Vec<OwnedObjectPath> =
        get(&properties, "AllDevices").or_else(|| get(&properties, "Devices")).unwrap_or_default();
    view.more_devices = paths.len() > MAX_DEVICES;
    for path in paths.iter().take(MAX_DEVICES) {
        // A device may go at any moment.
        if let Some(device) = device(connection, path.as_str()).await? {
            view.devices.push(device);
        }
    }
    Ok(view)
}

async fn device(connection: &Connection, path: &str) -> Result<Option<Device>, Failure> {
    const INTERFACE: &str = "org.freedesktop.NetworkManager.Device";
    const ACTIVE: &str = "org.freedesktop.NetworkManager.Connection.Active";
    let found = match properties(connection, path, INTERFACE).await {
        Ok(found) => found,
        Err(failure) if failure.outcome == Outcome::Missing => return Ok(None),
        Err(failure) => return Err(failure),
    };
    // Devices that are not there yet have names, too.
    if get::<bool>(&found, "Real") == Some(false) {
        return Ok(None);
    }
    let mut device = Device {
        interface: text(&found, "Interface").unwrap_or_default(),
        managed: get(&found, "Managed"),
        state: get(&found, "State"),
        r#type: get(&found, "DeviceType"),
        driver: text(&found, "Driver"),
        driver_version: text(&found, "DriverVersion"),
        connection: None,
    };
    let active = get::<OwnedObjectPath>(&found, "ActiveConnection");
    if let Some(active) = active.filter(|path| path.as_str() != "/") {
        let active = properties(connection, active.as_str(), ACTIVE).await.unwrap_or_default();
        device.connection = text(&active, "Id");
    }
    Ok(Some(device))
}

type Properties = HashMap<String, OwnedVariant>;

async fn properties(
    connection: &Connection,
    path: &str,
    interface: &str,
) -> Result<Properties, Failure> {
    call(connection, NAME, path, "org.freedesktop.DBus.Properties", "GetAll", &(interface,)).await
}

fn get<T: TryFrom<OwnedVariant>>(properties: &Properties, name: &str) -> Option<T> {
    T::try_from(properties.get(name)?.try_clone().ok()?).ok()
}

fn text(properties: &Properties, name: &str) -> Option<String> {
    let value: &Variant<'_> = properties.get(name)?;
    let text: &str = value.downcast_ref().ok()?;
    Some(text.chars().take(MAX_TEXT).collect())
}

/// Asks the bus itself.
async fn bus<T: DeserializeOwned + Type>(
    connection: &Connection,
    method: &str,
    name: &str,
) -> Result<T, Failure> {
    const BUS: &str = "org.freedesktop.DBus";
    call(connection, BUS, "/org/freedesktop/DBus", BUS, method, &(name,)).await
}

async fn call<B, T>(
    connection: &Connection,
    name: &str,
    path: &str,
    interface: &str,
    method: &str,
    body: &B,
) -> Result<T, Failure>
where
    B: Serialize + DynamicType + Sync,
    T: DeserializeOwned + Type,
{
    let reply = connection
        .call_method(Some(name), path, Some(interface), method, body)
        .await
        .map_err(failure)?;
    reply.body().deserialize().map_err(failure)
}

#[allow(clippy::needless_pass_by_value, reason = "it stands where errors are mapped")]
fn failure(error: zbus::Error) -> Failure {
    let name = match &error {
        zbus::Error::MethodError(name, ..) => name.as_str().rsplit('.').next().unwrap_or_default(),
        _ => "",
    };
    let outcome = match (name, &error) {
        ("NameHasNoOwner" | "UnknownObject" | "UnknownMethod" | "ServiceUnknown", _) => {
            Outcome::Missing
        }
        ("AccessDenied" | "AuthFailed", _) => Outcome::Denied,
        ("NoReply" | "Timeout", _) => Outcome::Timeout,
        (_, zbus::Error::InputOutput(io)) => match io.kind() {
            std::io::ErrorKind::PermissionDenied => Outcome::Denied,
            std::io::ErrorKind::TimedOut => Outcome::Timeout,
            _ => Outcome::Failed,
        },
        _ => Outcome::Failed,
    };
    Failure { outcome, reason: super::printable(&error.to_string()) }
}

/// The most that is read of `/proc/stat`: some hundred bytes for each CPU, and ten for each interrupt.
const MAX_STAT: u64 = 4 << 20;

/// When a process started, by `/proc/PID/stat` and the time of boot.
fn started(root: &Path, pid: u32) -> Option<Timestamp> {
    let read = |path: &str| file::small(root, Path::new(path), MAX_STAT);
    let stat = read(&format!("/proc/{pid}/stat"))?;
    // The name may hold anything; what follows it is counted as in proc(5), where the state is the third.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: i64 = fields.split_ascii_whitespace().nth(19)?.parse().ok()?;
    let table = read("/proc/stat")?;
    let boot = table.lines().find_map(|line| line.strip_prefix("btime "))?;
    Timestamp::from_second(boot.trim().parse::<i64>().ok()?.checked_add(ticks / TICKS)?).ok()
}
