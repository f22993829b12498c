#!/bin/sh
# First process of a guest: proves that SMP Linux works, keeps every vCPU busy, dirties most of
# the guest's memory, tries addresses that are not the guest's, then powers off. The host reads
# the lines that start with "BULKHEAD: "; cargo xtask knows the digests independently.
# Kernel command line: bulkhead.guest=ID bulkhead.parts=VCPUS bulkhead.attack=PA,PA,...
# bulkhead.fate=crash|spin, for a guest that shall do that instead of its work.
# BLOCK_KIB, WORK_KIB and SHELL_GUEST (the guest that ends in a shell instead) are set above.

export PATH=/bin
busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs devtmpfs /dev
busybox mount -t tmpfs -o size=90% tmpfs /tmp
busybox --install -s /bin
exec </dev/console >/dev/console 2>&1

guest=0 parts=1 attack= fate=
for word in $(cat /proc/cmdline); do
    case $word in
        bulkhead.guest=*) guest=${word#*=} ;;
        bulkhead.parts=*) parts=${word#*=} ;;
        bulkhead.attack=*) attack=${word#*=} ;;
        bulkhead.fate=*) fate=${word#*=} ;;
    esac
done

say() { echo "BULKHEAD: $*"; }

# One block of generated data; part P of the workload is this block over and over.
block() { yes "bulkhead guest $guest part $1" | head -c $((BLOCK_KIB * 1024)); }

digest_part() { # part
    block "$1" >/tmp/block.$1
    n=$((WORK_KIB / BLOCK_KIB / parts))
    while [ $n -gt 0 ]; do
        cat /tmp/block.$1
        n=$((n - 1))
    done | taskset -c "$1" sha256sum | {
        read -r hex rest
        say "sha256 $1 $hex"
    }
}

# Each part fills its share of three quarters of the free memory with a pattern that has no zero
# byte, and reads it back.
fill_part() { # part, blocks
    block fill >/tmp/pattern.$1
    want=$(md5sum </tmp/pattern.$1)
    i=0
    while [ $i -lt "$2" ]; do
        cat /tmp/pattern.$1 >/tmp/fill.$1.$i || break
        i=$((i + 1))
    done
    good=0
    for file in /tmp/fill.$1.*; do
        [ "$(md5sum <"$file")" = "$want" ] && good=$((good + 1))
    done
    say "fill $1 blocks $2 good $good"
    [ $good -eq "$2" ] || touch /tmp/failed
}

on_every_part() { # function, further arguments
    pids=
    part=0
    while [ $part -lt "$parts" ]; do
        "$1" $part $2 &
        pids="$pids $!"
        part=$((part + 1))
    done
    wait $pids
}

# Keeps a vCPU busy for ever: the first in user space, the next in the kernel, and so on.
spin_part() { # part
    if [ $(($1 % 2)) -eq 0 ]; then
        taskset -c "$1" sh -c 'while :; do :; done'
    else
        taskset -c "$1" cat /dev/zero >/dev/null
    fi
}

# An access that the engine refuses ends in a synchronous external abort: the process dies of
# SIGBUS (status 128 + 7). Anything else, a refusal by Linux itself included, is not "blocked".
tried=0 blocked=0
attempt() { # devmem arguments
    tried=$((tried + 1))
    devmem "$@" >/dev/null 2>&1
    [ $? -eq 135 ] && blocked=$((blocked + 1))
}

tries=100
while [ "$(nproc)" -lt "$parts" ] && [ $tries -gt 0 ]; do
    sleep 0.1
    tries=$((tries - 1))
done
say "online $(nproc)"
say "kernel $(uname -r)"

case $fate in
    crash)
        say "crash"
        echo c >/proc/sysrq-trigger
        ;;
    spin)
        say "spin"
        on_every_part spin_part
        ;;
esac

on_every_part digest_part
blocks=$(awk '/^MemAvailable/ { print int($2 * 3 / 4 / '$BLOCK_KIB') }' /proc/meminfo)
on_every_part fill_part $((blocks / parts))

for pa in $(echo "$attack" | tr ',' ' '); do
    attempt "$pa" 32
    attempt "$pa" 32 0x42554c4b
done
[ $tried -gt 0 ] && say "attack memory tried $tried blocked $blocked"
if [ -e /tmp/failed ]; then
    say "failed"
else
    say "done"
fi

if [ "$guest" = "$SHELL_GUEST" ]; then
    setsid cttyhack sh
fi
# A power-off does not wait for what the console has yet to send; setting the terminal does (tcsetattr
# with TCSADRAIN).
stty -echo
poweroff -f
