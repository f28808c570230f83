//! dhow's own default profile.
//!
//! A filter by allowance: what is not listed fails with EPERM. The calls stand in groups by what they are for, then come
//! those that depend on capabilities, architecture or arguments. What is left out on purpose: loading of modules and
//! kernels, keyrings, tracing of the kernel, swapping, clocks, new namespaces, io_uring and userfaultfd, whose bugs were
//! ways out of containers. The effect equals Docker's profile, rule by rule (see the tests).

use oci::runtime::{Seccomp, SeccompAction, SeccompArch, SeccompOp, SyscallArg, SyscallRule};

use super::Context;

/// Sockets.
const SOCKETS: &str = "\
    accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg \
    recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair";

/// System V and POSIX message queues, semaphores, shared memory.
const SYSTEM_V_IPC: &str = "\
    ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend \
    mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop \
    semtimedop_time64 shmat shmctl shmdt shmget";

/// Waiting for descriptors, and descriptors made for waiting.
const EVENTS: &str = "\
    _newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait \
    epoll_wait_old eventfd eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1 \
    inotify_rm_watch pidfd_open poll ppoll ppoll_time64 pselect6 pselect6_time64 select signalfd \
    signalfd4 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64";

/// Asynchronous I/O (the old interface) and I/O priorities.
const ASYNC_IO: &str = "\
    io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioprio_get \
    ioprio_set";

/// Extended attributes.
const XATTRS: &str = "\
    fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat \
    llistxattr lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat";

/// Memory.
const MEMORY: &str = "\
    brk cachestat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 \
    mlockall mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free \
    pkey_mprotect process_mrelease readahead remap_file_pages";

/// Clocks and timers.
const TIME: &str = "\
    adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime \
    clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer \
    time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime \
    timer_settime64 times";

/// Who a process is, and the limits it has.
const IDENTITY: &str = "\
    capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getpgid \
    getpgrp getpid getppid getpriority getresgid getresgid32 getresuid getresuid32 getrlimit getrusage \
    getsid gettid getuid getuid32 prlimit64 setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 \
    setgroups setgroups32 setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid \
    setresuid32 setreuid setreuid32 setrlimit setsid setuid setuid32 ugetrlimit";

/// Signals.
const SIGNALS: &str = "\
    kill pause pidfd_send_signal restart_syscall rt_sigaction rt_sigpending rt_sigprocmask \
    rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo \
    sigaltstack sigprocmask sigreturn tgkill tkill";

/// Processes, threads, scheduling.
const PROCESSES: &str = "\
    execve execveat exit exit_group fork futex futex_requeue futex_time64 futex_wait futex_waitv \
    futex_wake get_robust_list get_thread_area getcpu landlock_add_rule landlock_create_ruleset \
    landlock_restrict_self prctl riscv_hwprobe rseq sched_get_priority_max sched_get_priority_min \
    sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval \
    sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler \
    sched_yield seccomp set_robust_list set_thread_area set_tid_address uretprobe vfork wait4 waitid \
    waitpid";

/// Files by name.
const NAMES: &str = "\
    access chdir chmod chown chown32 creat faccessat faccessat2 fchdir fchmodat fchmodat2 fchownat \
    fstatat64 futimesat getcwd lchown lchown32 link linkat listmount lstat lstat64 mkdir mkdirat mknod \
    mknodat name_to_handle_at newfstatat open openat openat2 readlink readlinkat rename renameat \
    renameat2 rmdir stat stat64 statfs statfs64 statmount statx symlink symlinkat truncate truncate64 \
    umask unlink unlinkat utime utimensat utimensat_time64 utimes";

/// Files by descriptor.
const DESCRIPTORS: &str = "\
    _llseek close close_range copy_file_range dup dup2 dup3 fadvise64 fadvise64_64 fallocate fchmod \
    fchown fchown32 fcntl fcntl64 fdatasync flock fstat fstat64 fstatfs fstatfs64 fsync ftruncate \
    ftruncate64 getdents getdents64 ioctl lseek pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev \
    pwritev2 read readv sendfile sendfile64 splice sync sync_file_range syncfs tee vmsplice write writev";

/// The machine.
const SYSTEM: &str = "\
    getrandom sysinfo uname";

const UNCONDITIONAL: [&str; 13] = [
    SOCKETS,
    SYSTEM_V_IPC,
    EVENTS,
    ASYNC_IO,
    XATTRS,
    MEMORY,
    TIME,
    IDENTITY,
    SIGNALS,
    PROCESSES,
    NAMES,
    DESCRIPTORS,
    SYSTEM,
];

/// Calls that a capability opens, because the kernel checks the same capability again.
const WITH_CAPABILITY: [(&str, &str); 13] = [
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    ("CAP_SYS_ADMIN", ADMINISTRATION),
    ("CAP_SYS_BOOT", "reboot"),
    ("CAP_SYS_CHROOT", "chroot"),
    ("CAP_SYS_MODULE", "delete_module init_module finit_module"),
    ("CAP_SYS_PACCT", "acct"),
    (
        "CAP_SYS_PTRACE",
        "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    ),
    ("CAP_SYS_RAWIO", "iopl ioperm"),
    ("CAP_SYS_TIME", "settimeofday stime clock_settime clock_settime64"),
    ("CAP_SYS_TTY_CONFIG", "vhangup"),
    (
        "CAP_SYS_NICE",
        "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    ),
    ("CAP_SYSLOG", "syslog"),
    ("CAP_PERFMON", "perf_event_open"),
];

/// Mounting, namespaces and their like.
const ADMINISTRATION: &str = "\
    bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules \
    lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname \
    sethostname setns syslog umount umount2 unshare";

/// Calls that only some architectures have, by Docker's words for these.
const BY_ARCHITECTURE: [(&[&str], &str); 6] = [
    (&["ppc64le"], "sync_file_range2 swapcontext"),
    (
        &["arm", "arm64"],
        "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
    ),
    (&["amd64", "x32"], "arch_prctl"),
    (&["amd64", "x32", "x86"], "modify_ldt"),
    (
        &["s390", "s390x"],
        "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr",
    ),
    (&["riscv64"], "riscv_flush_icache"),
];

/// Before Linux 4.8 a tracer could change a call after the filter had judged it.
const TRACING_SINCE: ((u32, u32), &str) = ((4, 8), "process_vm_readv process_vm_writev ptrace");

/// Families of sockets that can reach other virtual machines and the host: AF_ALG (38) and AF_VSOCK (40) are left out.
const SOCKET_FAMILIES: [(SeccompOp, u64); 3] =
    [(SeccompOp::Lt, 38), (SeccompOp::Eq, 39), (SeccompOp::Gt, 40)];

/// PER_LINUX, PER_LINUX32, UNAME26, both of the latter, and the question "which one".
const PERSONALITIES: [u64; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
const NEW_NAMESPACES: u64 = 0x7e02_0000;

const ENOSYS: u32 = 38;

/// dhow's default profile, equal in effect to Docker's.
pub fn default_profile(context: &Context) -> Seccomp {
    let mut rules: Vec<SyscallRule> = UNCONDITIONAL.iter().map(|calls| allow(calls, None)).collect();
    if context.kernel >= TRACING_SINCE.0 {
        rules.push(allow(TRACING_SINCE.1, None));
    }
    rules.extend(SOCKET_FAMILIES.map(|(op, value)| allow("socket", Some(arg(0, op, value)))));
    rules.extend(PERSONALITIES.map(|value| allow("personality", Some(arg(0, SeccompOp::Eq, value)))));
    let word = context.arch_word();
    rules.extend(
        BY_ARCHITECTURE
            .iter()
            .filter(|(words, _)| words.contains(&word))
            .map(|(_, calls)| allow(calls, None)),
    );
    let held = |(capability, _): &&(&str, &str)| context.capabilities.has_name(capability);
    rules.extend(
        WITH_CAPABILITY
            .iter()
            .filter(held)
            .map(|(_, calls)| allow(calls, None)),
    );
    if context.capabilities.has_name("CAP_BPF") {
        rules.push(allow("bpf", None));
    }
    if !context.capabilities.has_name("CAP_SYS_ADMIN") {
        // s390 has the first two arguments of clone(2) the other way round.
        let flags = if word == "s390" || word == "s390x" { 1 } else { 0 };
        rules.push(allow(
            "clone",
            Some(arg(flags, SeccompOp::MaskedEq, NEW_NAMESPACES)),
        ));
        // A filter cannot see the flags of clone3, which lie in memory; ENOSYS makes the C library use clone.
        rules.push(SyscallRule {
            names: vec!["clone3".to_owned()],
            action: SeccompAction::Errno,
            errno_ret: Some(ENOSYS),
            args: Vec::new(),
        });
    }
    Seccomp {
        default_action: SeccompAction::Errno,
        default_errno_ret: Some(1),
        architectures: architectures(context.arch),
        syscalls: rules,
        ..Seccomp::default()
    }
}

/// The architecture and those whose programs its kernel also runs.
fn architectures(native: SeccompArch) -> Vec<SeccompArch> {
    use SeccompArch::{
        Aarch64, Arm, Loongarch64, Mips, Mips64, Mips64n32, Mipsel, Mipsel64, Mipsel64n32, Riscv64, S390,
        S390x, X32, X86, X86_64,
    };
    match native {
        X86_64 => vec![X86_64, X86, X32],
        Aarch64 => vec![Aarch64, Arm],
        Mips64 => vec![Mips64, Mips, Mips64n32],
        Mips64n32 => vec![Mips64n32, Mips, Mips64],
        Mipsel64 => vec![Mipsel64, Mipsel, Mipsel64n32],
        Mipsel64n32 => vec![Mipsel64n32, Mipsel, Mipsel64],
        S390x => vec![S390x, S390],
        Riscv64 => vec![Riscv64],
        Loongarch64 => vec![Loongarch64],
        _ => Vec::new(),
    }
}

fn allow(calls: &str, condition: Option<SyscallArg>) -> SyscallRule {
    SyscallRule {
        names: calls.split_whitespace().map(str::to_owned).collect(),
        action: SeccompAction::Allow,
        errno_ret: None,
        args: condition.into_iter().collect(),
    }
}

fn arg(index: u32, op: SeccompOp, value: u64) -> SyscallArg {
    SyscallArg {
        index,
        value,
        value_two: 0,
        op,
    }
}
