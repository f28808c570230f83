//! What hostile images and specs come to.

use std::os::fd::AsRawFd as _;
use std::os::unix::fs::symlink;

use linux::Errno;
use runtime::Error;

use crate::bundle::Bundle;

pub(crate) const TESTS: &[(&str, fn())] = &[
    (
        "calls_that_the_filter_forbids_fail",
        calls_that_the_filter_forbids_fail,
    ),
    (
        "a_mount_through_a_symbolic_link_stays_inside",
        a_mount_through_a_symbolic_link_stays_inside,
    ),
    (
        "proc_is_not_mounted_through_a_symbolic_link",
        proc_is_not_mounted_through_a_symbolic_link,
    ),
    (
        "a_working_directory_outside_is_refused",
        a_working_directory_outside_is_refused,
    ),
    (
        "no_descriptor_of_the_caller_leaks",
        no_descriptor_of_the_caller_leaks,
    ),
    (
        "a_device_is_not_made_over_an_images_file",
        a_device_is_not_made_over_an_images_file,
    ),
    (
        "the_host_does_not_see_the_containers_mounts",
        the_host_does_not_see_the_containers_mounts,
    ),
    (
        "kernel_parameters_of_the_host_are_refused",
        kernel_parameters_of_the_host_are_refused,
    ),
];

fn a_mount_through_a_symbolic_link_stays_inside() {
    let outside = tempfile::tempdir().expect("outside");
    let mut bundle = Bundle::script("mount | grep -c evil");
    symlink(outside.path(), bundle.root().join("link")).expect("link");
    // What the link names is made inside, where it counts from the container's root.
    bundle.mount("/link/evil", "tmpfs", "evil", &[]);
    assert_eq!(bundle.output(), "1\n");
    assert_eq!(std::fs::read_dir(outside.path()).expect("read").count(), 0);
}

fn proc_is_not_mounted_through_a_symbolic_link() {
    let bundle = Bundle::script("true");
    std::fs::remove_dir(bundle.root().join("proc")).expect("rmdir");
    std::fs::create_dir(bundle.root().join("fake")).expect("mkdir");
    symlink("fake", bundle.root().join("proc")).expect("link");
    match bundle.create().err() {
        Some(Error::Step { step, errno }) => {
            assert_eq!(
                (step.as_str(), errno),
                ("error mounting \"proc\" to rootfs at \"/proc\"", Errno::LOOP)
            );
        }
        other => panic!("{other:?}"),
    }
}

/// CVE-2024-21626: a working directory in `/proc/self/fd` of a descriptor that the runtime has open.
fn a_working_directory_outside_is_refused() {
    let host = std::fs::File::open("/").expect("open");
    for number in [host.as_raw_fd(), 3, 4, 5, 6, 7, 8, 9, 10] {
        let mut bundle = Bundle::script("ls");
        bundle.process().cwd = format!("/proc/self/fd/{number}");
        let error = bundle.create().err().expect("refused");
        assert!(error.to_string().starts_with("chdir to cwd"), "{error}");
    }
}

fn no_descriptor_of_the_caller_leaks() {
    let leaked = std::fs::File::open("/").expect("open");
    // Not marked to be closed on exec, as a careless caller would have it.
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).expect("unmarked");
    let text = Bundle::script("ls /proc/1/fd; true").output();
    assert_eq!(text, "0\n1\n2\n");
}

fn a_device_is_not_made_over_an_images_file() {
    let mut bundle = Bundle::script("true");
    // Without a fresh /dev, the image's own directory gets the nodes.
    bundle
        .spec
        .mounts
        .retain(|mount| !mount.destination.starts_with("/dev"));
    symlink("/etc/passwd", bundle.root().join("dev/null")).expect("link");
    match bundle.create().err() {
        Some(Error::Step { step, errno }) => {
            assert_eq!(
                (step.as_str(), errno),
                ("error creating device node \"/dev/null\"", Errno::EXIST)
            );
        }
        other => panic!("{other:?}"),
    }
}

fn the_host_does_not_see_the_containers_mounts() {
    let mut bundle = Bundle::program(&["sleep", "1000"]);
    bundle.mount("/tmp", "tmpfs", "tmpfs", &[]);
    let ours = bundle.root().to_string_lossy().into_owned();
    let running = bundle.create().expect("created");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    assert!(!mounts.contains(&ours), "{mounts}");
    drop(running);
}

fn kernel_parameters_of_the_host_are_refused() {
    for name in [
        "kernel.panic",
        "vm.swappiness",
        "../x",
        "net.ipv4../x",
        "kernel.core_pattern",
    ] {
        let mut bundle = Bundle::script("true");
        bundle.linux().sysctl.insert(name.into(), "1".into());
        assert!(matches!(bundle.create().err(), Some(Error::Spec(_))), "{name}");
    }
}

fn calls_that_the_filter_forbids_fail() {
    use oci::runtime::{Seccomp, SeccompAction, SyscallRule};
    for no_new_privileges in [false, true] {
        let mut bundle = Bundle::script(
            "mkdir /made 2>&1; echo x > /file && echo written; grep Seccomp: /proc/self/status",
        );
        bundle.process().no_new_privileges = no_new_privileges;
        let rule = SyscallRule {
            names: vec!["mkdir".into(), "mkdirat".into()],
            action: SeccompAction::Errno,
            errno_ret: Some(13),
            args: Vec::new(),
        };
        bundle.linux().seccomp = Some(Seccomp {
            default_action: SeccompAction::Allow,
            syscalls: vec![rule],
            ..Seccomp::default()
        });
        let wanted = "mkdir: can't create directory '/made': Permission denied\nwritten\nSeccomp:\t2\n";
        assert_eq!(bundle.output(), wanted);
    }
}
