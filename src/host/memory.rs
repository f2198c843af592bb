//! How much memory this process may have: the smallest limit of its control groups.
//!
//! ```text
//! 4:memory:/kubepods/burstable/pod1      /proc/self/cgroup, first version: a line for each controller
//! 0::/kubepods.slice/pod1.scope          second version
//! ```

use std::path::{Path, PathBuf};

use super::file;

/// Where the first version of control groups has the limit, and where the second has it (`cgroup-v1/memory.rst` and
/// `cgroup-v2.rst` in the kernel's documentation).
const FIRST: (&str, &str) = ("/sys/fs/cgroup/memory", "memory.limit_in_bytes");
const SECOND: (&str, &str) = ("/sys/fs/cgroup", "memory.max");

/// The most that is read of `/proc/self/cgroup`, which has a line for each controller, and of a file that holds a number.
const MAX_GROUPS: u64 = 64 << 10;
const MAX_NUMBER: u64 = 64;

/// Less than this is little: a run that does as much at once as it otherwise would might not have enough.
const LITTLE: u64 = 96 << 20;

/// Whether there is so little that memory is worth more than time.
#[must_use]
pub fn is_little() -> bool {
    limit(Path::new("/")).is_some_and(|limit| limit < LITTLE)
}

/// The smallest limit in bytes; `None` if there is none, or it cannot be seen. A group without a limit has the word `max`
/// or a number that no machine has.
fn limit(root: &Path) -> Option<u64> {
    let own = file::small(root, Path::new("/proc/self/cgroup"), MAX_GROUPS)?;
    let limits = files(&own).into_iter();
    let limits =
        limits.filter_map(|path| file::small(root, &path, MAX_NUMBER)?.trim().parse().ok());
    limits.min()
}

/// The files in which the limits of a process's groups may stand, and of those around them. In a container, its own group
/// may be the outermost that it sees.
fn files(own: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in own.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { continue };
        let (mount, file) = if controllers.is_empty() {
            SECOND
        } else if controllers.split(',').any(|name| name == "memory") {
            FIRST
        } else {
            continue;
        };
        let group = Path::new(group.trim_start_matches('/'));
        files.extend(group.ancestors().map(|group| Path::new(mount).join(group).join(file)));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_read_than_a_table_and_a_number_need() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("proc/self/cgroup", "0::/pod\n");
        write("sys/fs/cgroup/memory.max", "max\n");
        write("sys/fs/cgroup/pod/memory.max", "1000\n");
        assert_eq!(limit(root.path()), Some(1000));
        write("sys/fs/cgroup/pod/memory.max", &("1000".to_owned() + &" ".repeat(1 << 20)));
        assert_eq!(limit(root.path()), Some(1000));
        // What comes after the bound is not seen.
        write("proc/self/cgroup", &("x\n".repeat(1 << 20) + "0::/pod\n"));
        assert_eq!(limit(root.path()), None);
    }

    #[test]
    fn the_limits_of_a_group_and_of_those_around_it_are_looked_for() {
        let text = "9:name=systemd:/\n4:cpu,memory:/a/b\n1:cpu:/c\n0::/d\nodd\n";
        let files: Vec<String> =
            files(text).iter().map(|file| file.display().to_string()).collect();
        assert_eq!(
            files,
            [
                "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "/sys/fs/cgroup/d/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
    }
}
