#!/bin/busybox sh
# The first process of the virtual machine: makes of it what a booted Debian is, runs the suites, switches off.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
if [ "$1" != in-place ]; then
    # pivot_root(2) does not work on the first mount of all, so the root is mounted over itself.
    mount --bind / /mnt
    cd /mnt
    mount --move . /
    exec chroot . /init in-place
fi
mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
if [ -e /policy ]; then
    # The kernel takes a policy in one write.
    mount -t selinuxfs selinuxfs /sys/fs/selinux
    dd if=/policy of=/sys/fs/selinux/load bs=1M 2>/dev/null
    echo 1 > /sys/fs/selinux/enforce
fi
mount -t devtmpfs -o nosuid devtmpfs /dev
mkdir -p /dev/pts /dev/shm /dev/mqueue
mount -t devpts -o nosuid,noexec,gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o nosuid,nodev tmpfs /dev/shm
mount -t mqueue mqueue /dev/mqueue
mount -t tmpfs -o nosuid,nodev,mode=755 tmpfs /run
mount -t securityfs securityfs /sys/kernel/security
mount -t bpf bpf /sys/fs/bpf
ln -s /proc/self/fd /dev/fd
# One tree, with every controller; nobody but the kernel lives in its root, as on every machine with systemd.
mount -t cgroup2 -o nsdelegate,memory_recursiveprot cgroup2 /sys/fs/cgroup
mkdir /sys/fs/cgroup/init.scope
echo 0 > /sys/fs/cgroup/init.scope/cgroup.procs
ip link set lo up
hostname vm
modprobe -a virtio_pci virtio_blk
# Data roots are below /tmp, and on a file system as engines have it: with id-mapped mounts and attributes of users.
until [ -b /dev/vdb ]; do sleep 0.1; done
mount -t ext4 /dev/vdb /tmp
chmod 1777 /tmp
cd /
echo "vm: $(uname -r), security modules $(cat /sys/kernel/security/lsm), up after $(cut -d' ' -f1 /proc/uptime) s"

suite() {
    name=$1
    shift
    echo "vm: begin $name"
    "$@" 2>&1
    echo "vm: end $name $? at $(cut -d' ' -f1 /proc/uptime) s"
}
. /suites
echo "vm: finished"
poweroff -f
