#!/bin/busybox sh
# The measured peer's user space: PEER (kvm, kvm-ipi, xen) and MODE (nvhe, protected, vhe) come below the first line. Prints
# "@peer name value unit" for each figure and "@peer-note text" for what else tells what was measured, and powers off.
BB=/bin/busybox
for FS in proc:/proc sysfs:/sys devtmpfs:/dev; do
	$BB mount -t "${FS%%:*}" none "${FS##*:}" 2>/dev/null
done
$BB dmesg | $BB grep -E 'kvm \[[0-9]+\].*initialized' | $BB sed 's/^\[[^]]*\] */@peer-note /'
# From here on the console is for the figures.
$BB dmesg -n 4

# What the module said.
module_said() {
	$BB dmesg | $BB grep '@peer' | $BB sed 's/^.*@peer/@peer/'
}

case $PEER in
kvm)
	# KVM's calls are for while it has a VM.
	/vmbench - "$BB insmod /peerbench.ko peer=$MODE"
	module_said
	/vmbench ''
	VGIC=1 /vmbench vgic.
	if [ "$MODE" = protected ]; then
		export PROTECTED=1
		/vmbench pvm.
		VGIC=1 /vmbench pvm.vgic.
	fi
	;;
kvm-ipi)
	$BB insmod /peerbench.ko peer=none
	module_said
	/ipibench
	;;
xen)
	$BB insmod /peerbench.ko peer=xen
	module_said
	;;
esac
echo '@peer-note done'
$BB poweroff -f
