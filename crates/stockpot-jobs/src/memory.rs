//! What the system tells of memory: how much there is, how much is free for this process, how much
//! this process has taken. Linux only; elsewhere nothing is known, and callers say so.

/// Memory of the machine, or of the group of processes that this one is confined to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Bytes in all.
    pub(crate) total: u64,
    /// Bytes that can be taken now: unused, or holding files that can be read again.
    pub(crate) free: u64,
}

/// What can be had now; `None` where the system does not tell.
pub(crate) fn now() -> Option<Memory> {
    // `.ok()`: other systems have no such file, and the caller goes on without.
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let machine = Memory {
        total: kib(&text, "MemTotal:")?,
        free: kib(&text, "MemAvailable:")?,
    };
    Some(match group() {
        Some(group) => Memory {
            total: machine.total.min(group.total),
            free: machine.free.min(group.free),
        },
        None => machine,
    })
}

/// The most bytes that this process has held at once so far, files mapped into memory included.
pub(crate) fn peak() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    kib(&text, "VmHWM:")
}

/// The limit of the control group this process is in, as a container has one.
fn group() -> Option<Memory> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    // Version 2 has one line `0::/path`; version 1 one for each kind, `4:memory:/path`.
    let (root, files, path) = groups.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (kind, path) = rest.split_once(':')?;
        match kind {
            "memory" => Some((
                "/sys/fs/cgroup/memory",
                ["memory.limit_in_bytes", "rss"],
                path,
            )),
            "" => Some(("/sys/fs/cgroup", ["memory.max", "anon"], path)),
            _ => None,
        }
    })?;
    let [limit, held] = files;
    // Inside a container the group's own folder is often the root that is mounted.
    [format!("{root}{path}"), root.to_owned()]
        .iter()
        .find_map(|folder| {
            let limit = std::fs::read_to_string(format!("{folder}/{limit}")).ok()?;
            let stat = std::fs::read_to_string(format!("{folder}/memory.stat")).ok()?;
            within(&limit, &stat, held)
        })
}

/// Nothing if there is no limit (`max`, or a number that stands for it).
fn within(limit: &str, stat: &str, held: &str) -> Option<Memory> {
    let total: u64 = limit.trim().parse().ok()?;
    let held = stat.lines().find_map(|line| {
        let (name, bytes) = line.split_once(' ')?;
        (name == held).then(|| bytes.parse::<u64>().ok())?
    })?;
    (total < 1 << 60).then(|| Memory {
        total,
        free: total.saturating_sub(held),
    })
}

/// A field of the kernel's tables, which count in KiB.
fn kib(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix(field))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_understood() {
        let table = "MemTotal:       24629992 kB\nMemAvailable:   23 kB\n";
        assert_eq!(kib(table, "MemAvailable:"), Some(23 * 1024));
        assert_eq!(kib(table, "MemFree:"), None);
        let stat = "cache 5\nrss 300\n";
        let found = within("1000\n", stat, "rss");
        assert_eq!(
            found,
            Some(Memory {
                total: 1000,
                free: 700
            })
        );
        assert_eq!(within("max\n", stat, "rss"), None);
        assert_eq!(within("9223372036854771712\n", stat, "rss"), None);
        if cfg!(target_os = "linux") {
            let memory = now().unwrap();
            assert!(memory.free <= memory.total && memory.total > 1 << 20);
            assert!(peak().unwrap() > 1 << 20);
        }
    }
}
