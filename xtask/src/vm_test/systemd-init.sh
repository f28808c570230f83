#!/bin/busybox sh
# The first process of the machine with systemd: finds the disk and makes it the root.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
modprobe -a virtio_pci virtio_blk
until [ -b /dev/vda ]; do sleep 0.1; done
mount -t ext4 /dev/vda /mnt
umount /proc /sys
mount --move /dev /mnt/dev
exec switch_root /mnt /lib/systemd/systemd --log-level=warning
