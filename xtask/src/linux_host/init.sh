#!/bin/sh
# First process of a Linux that is the engine's demoted host: shows that its cores, interrupts, timers,
# PCI, disks and memory are all its own, works on every core while cores go off and on, tries the
# engine's memory, then powers off. cargo xtask reads the lines that start with "HOST: " and judges them;
# it knows digests, sums and what is on the disks by itself.
# LOAD_SECONDS, BLOCK_KIB, HASH_BLOCKS, FILL_BLOCKS, STEPS, DISK_MIB, DISKS and HOTPLUG are set above.

export PATH=/bin
busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs devtmpfs /dev
busybox mount -t tmpfs -o size=90% tmpfs /tmp
busybox --install -s /bin
exec </dev/console >/dev/console 2>&1
# The kernel's own lines would fall into ours; they are told at the end.
dmesg -n 1

say() { echo "HOST: $*"; }

interrupts() { # when
    while read -r line; do
        say "$1 $line"
    done </proc/interrupts
}

# A file of a size in KiB: a line over and over.
repeat() { # line, KiB, file
    echo "$1" >$3
    while [ "$(stat -c %s $3)" -lt $(($2 * 1024)) ]; do
        cat $3 $3 >$3.double
        mv $3.double $3
    done
    truncate -s "$2K" $3
}

# Hashes on one core until the time is over, each round through a pipe.
hash_on() { # core
    core=$1 rounds=0 good=0 first=
    repeat "bulkhead linux host hash $core" "$BLOCK_KIB" /tmp/hash.$core
    until [ -e /tmp/over ] && [ $rounds -gt 0 ]; do
        n=$HASH_BLOCKS
        sum=$(while [ $n -gt 0 ]; do
            cat /tmp/hash.$core
            n=$((n - 1))
        done | sha256sum)
        sum=${sum%% *}
        first=${first:-$sum}
        [ "$sum" = "$first" ] && good=$((good + 1))
        rounds=$((rounds + 1))
    done
    say "hash $core $rounds $good $first"
}

# A chaotic sequence of floating-point numbers: one lost bit of one register changes all that follow.
float_on() { # number
    rounds=0 good=0 first=
    until [ -e /tmp/over ] && [ $rounds -gt 0 ]; do
        sum=$(awk "BEGIN { x = ($1 + 1) / 1024; for (i = 0; i < $STEPS; i++) x = 3.9 * x * (1 - x)
            printf \"%.17g\", x }")
        first=${first:-$sum}
        [ "$sum" = "$first" ] && good=$((good + 1))
        rounds=$((rounds + 1))
    done
    say "float $1 $rounds $good $first"
}

# One core's share of most of the memory: no two blocks are alike.
fill_block() { # core, block
    echo "core $1 block $2"
    for i in $(seq 1 "$FILL_BLOCKS"); do
        echo /tmp/hash.$1
    done | xargs cat
}

fill_on() { # core, blocks
    good=0
    for block in $(seq 1 "$2"); do
        fill_block "$1" "$block" >/tmp/fill.$1.$block
    done
    for block in $(seq 1 "$2"); do
        wanted=$(fill_block "$1" "$block" | md5sum)
        [ "$(md5sum </tmp/fill.$1.$block)" = "$wanted" ] && good=$((good + 1))
        rm -f /tmp/fill.$1.$block
    done
    say "fill $1 $2 $good"
}

every_core() { seq 0 $(($(nproc) - 1)); }

# Past the page cache, both ways.
disk() { # device
    half=$((DISK_MIB / 2))
    sum=$(dd if=/dev/$1 iflag=direct bs=1M count=$half 2>/dev/null | sha256sum)
    say "disk-read $1 ${sum%% *}"
    repeat "bulkhead linux host disk" $((half * 1024)) /tmp/disk.$1
    dd if=/tmp/disk.$1 of=/dev/$1 oflag=direct conv=fsync bs=1M seek=$half 2>/dev/null
    dd if=/dev/$1 iflag=direct bs=1M skip=$half count=$half 2>/dev/null | cmp -s - /tmp/disk.$1
    say "disk-written $1 $?"
    rm /tmp/disk.$1
}

say "kernel $(uname -r)"
say "online $(nproc)"
interrupts before
for module in /modules/*; do
    unxz -c "$module" >/tmp/module && insmod /tmp/module
    say "module ${module##*/} $?"
done
for device in /sys/bus/pci/devices/*; do
    driver=$(readlink $device/driver)
    say "pci ${device##*/} $(cat $device/vendor) $(cat $device/device) ${driver##*/}"
done
for device in $DISKS; do
    # Drivers look at their devices in their own time.
    tries=100
    until [ -b /dev/$device ] || [ $tries -eq 0 ]; do
        sleep 0.1
        tries=$((tries - 1))
    done
    disk $device
done

cores=$(every_core)
for core in $cores; do
    hash_on "$core" &
    taskset -cp "$core" $! >/dev/null
    float_on "$core" &
done
{
    sleep "$LOAD_SECONDS"
    touch /tmp/over
} &
for core in $(seq 1 "$HOTPLUG"); do
    online=/sys/devices/system/cpu/cpu$core/online
    echo 0 >$online
    off=$(cat $online) without=$(nproc)
    echo 1 >$online
    say "hotplug $core $off $without $(cat $online) $(nproc)"
done
wait

blocks=$(awk '/^MemAvailable/ { print int($2 * 3 / 4 / '$((BLOCK_KIB * FILL_BLOCKS))') }' /proc/meminfo)
for core in $cores; do
    fill_on "$core" $((blocks / $(nproc))) &
done
wait

for node in /proc/device-tree/reserved-memory/bulkhead@*; do
    devmem "0x${node##*@}" 32 >/dev/null 2>&1
    say "engine 0x${node##*@} read $?"
    devmem "0x${node##*@}" 32 0x42554c4b >/dev/null 2>&1
    say "engine 0x${node##*@} write $?"
done
interrupts after
dmesg -r | while read -r line; do
    say "log $line"
done
say "done"
# A power-off does not wait for what the console has yet to send; setting the terminal does (tcsetattr
# with TCSADRAIN).
stty -echo
poweroff -f
