//! Names and numbers of system calls, by architecture.

use oci::runtime::SeccompArch;
use syscalls::{aarch64, arm, riscv64, x86, x86_64};

/// Set in the numbers of the x32 interface, which shares its audit number with x86_64.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// The kernel's name for an architecture, `AUDIT_ARCH_*` of linux/audit.h; `None`: not known here.
pub(super) fn audit_number(arch: SeccompArch) -> Option<u32> {
    match arch {
        SeccompArch::X86_64 | SeccompArch::X32 => Some(0xc000_003e),
        SeccompArch::X86 => Some(0x4000_0003),
        SeccompArch::Aarch64 => Some(0xc000_00b7),
        SeccompArch::Arm => Some(0x4000_0028),
        SeccompArch::Riscv64 => Some(0xc000_00f3),
        _ => None,
    }
}

/// Whether programs of `arch` can run under a kernel whose own architecture is `native`.
pub(super) fn can_run(native: SeccompArch, arch: SeccompArch) -> bool {
    native == arch
        || match native {
            SeccompArch::X86_64 => matches!(arch, SeccompArch::X86 | SeccompArch::X32),
            SeccompArch::Aarch64 => arch == SeccompArch::Arm,
            _ => false,
        }
}

/// Whether arguments of system calls are compared in all 64 bits. x32 programs can fill a whole register, but their
/// calls take 32 bits of it, as libseccomp has it, too.
pub(super) fn is_wide(arch: SeccompArch) -> bool {
    !matches!(arch, SeccompArch::X86 | SeccompArch::X32 | SeccompArch::Arm)
}

/// Every call of an architecture by ascending number; where a call has two names, both.
pub(super) fn calls(arch: SeccompArch) -> Vec<(u32, &'static str)> {
    macro_rules! list {
        ($table:ident) => {
            (0..=$table::Sysno::last().id() as usize)
                .filter_map(|id| Some((id as u32, $table::Sysno::new(id)?.name())))
                .collect::<Vec<_>>()
        };
    }
    match arch {
        SeccompArch::X86_64 => list!(x86_64),
        SeccompArch::X32 => x32(),
        SeccompArch::X86 => list!(x86),
        SeccompArch::Aarch64 => list!(aarch64),
        SeccompArch::Riscv64 => list!(riscv64),
        SeccompArch::Arm => {
            let mut out = list!(arm);
            let at = out.partition_point(|(number, _)| *number < 341);
            out.insert(at, (341, "sync_file_range2"));
            out.extend(ARM_PRIVATE);
            out
        }
        _ => Vec::new(),
    }
}

/// Calls of ARM alone, from arch/arm/include/uapi/asm/unistd.h.
const ARM_PRIVATE: [(u32, &str); 6] = [
    (0xf_0001, "breakpoint"),
    (0xf_0002, "cacheflush"),
    (0xf_0003, "usr26"),
    (0xf_0004, "usr32"),
    (0xf_0005, "set_tls"),
    (0xf_0006, "get_tls"),
];

/// Calls whose arguments differ in x32 have numbers of their own, from 512 on (arch/x86/entry/syscalls/syscall_64.tbl).
const X32_OWN: [&str; 36] = [
    "rt_sigaction",
    "rt_sigreturn",
    "ioctl",
    "readv",
    "writev",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "execve",
    "ptrace",
    "rt_sigpending",
    "rt_sigtimedwait",
    "rt_sigqueueinfo",
    "sigaltstack",
    "timer_create",
    "mq_notify",
    "kexec_load",
    "waitid",
    "set_robust_list",
    "get_robust_list",
    "vmsplice",
    "move_pages",
    "preadv",
    "pwritev",
    "rt_tgsigqueueinfo",
    "recvmmsg",
    "sendmmsg",
    "process_vm_readv",
    "process_vm_writev",
    "setsockopt",
    "getsockopt",
    "io_setup",
    "io_submit",
    "execveat",
    "preadv2",
    "pwritev2",
];

/// Calls of x86_64 that x32 lacks.
const X32_LACKS: [&str; 14] = [
    "uselib",
    "_sysctl",
    "create_module",
    "get_kernel_syms",
    "query_module",
    "nfsservctl",
    "set_thread_area",
    "get_thread_area",
    "epoll_ctl_old",
    "epoll_wait_old",
    "vserver",
    "uretprobe",
    "uprobe",
    "map_shadow_stack",
];

fn x32() -> Vec<(u32, &'static str)> {
    let shared = calls(SeccompArch::X86_64).into_iter();
    let shared = shared.filter(|(_, name)| !X32_OWN.contains(name) && !X32_LACKS.contains(name));
    shared
        .chain((512..).zip(X32_OWN))
        .map(|(number, name)| (number | X32_BIT, name))
        .collect()
}

/// On 32-bit x86, calls on sockets and System V IPC also come through one shared call each, told apart by its first
/// argument (socketcall(2), ipc(2)): that call and the argument.
pub(super) fn multiplexed(arch: SeccompArch, name: &str) -> Option<(&'static str, u32)> {
    if arch != SeccompArch::X86 {
        return None;
    }
    let place = |list: &[&str]| list.iter().position(|n| *n == name).map(|at| at as u32);
    if let Some(at) = place(&SOCKET_CALLS) {
        return Some(("socketcall", at + 1));
    }
    IPC_CALLS
        .iter()
        .find(|(n, _)| *n == name)
        .map(|(_, number)| ("ipc", *number))
}

const SOCKET_CALLS: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

const IPC_CALLS: [(&str, u32); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_by_number() {
        use SeccompArch::{Aarch64, Arm, Riscv64, X32, X86, X86_64};
        for arch in [X86_64, X32, X86, Aarch64, Arm, Riscv64] {
            let calls = calls(arch);
            assert!(calls.len() > 250, "{arch:?}");
            assert!(calls.is_sorted_by_key(|(number, _)| *number), "{arch:?}");
        }
    }

    #[test]
    fn numbers_are_the_kernels() {
        let number = |arch, name| {
            calls(arch)
                .into_iter()
                .find(|(_, n)| *n == name)
                .map(|(number, _)| number)
        };
        assert_eq!(number(SeccompArch::X86_64, "execve"), Some(59));
        assert_eq!(number(SeccompArch::X32, "execve"), Some(X32_BIT | 520));
        assert_eq!(number(SeccompArch::X32, "pwritev2"), Some(X32_BIT | 547));
        assert_eq!(number(SeccompArch::X86, "execve"), Some(11));
        assert_eq!(number(SeccompArch::Aarch64, "execve"), Some(221));
        assert_eq!(number(SeccompArch::Arm, "set_tls"), Some(983_045));
    }
}
