// SPDX-License-Identifier: Apache-2.0 OR MIT
/*
 * The least user space that KVM needs for a guest of one vCPU; the guest (guest.S) counts what its exits take.
 *
 * vmbench PREFIX: prints "@peer PREFIXname.median value instructions" for each measurement.
 * vmbench - COMMAND: runs COMMAND while a VM exists.
 * With VGIC in the environment the guest has an interrupt controller in the kernel, with PROTECTED it is a protected VM.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/kvm.h>

#include "vmbench.h"

#define PROTECTED_VM_TYPE 0x80000000UL
#define HUGE 0x200000UL
#define CORE_REGISTER(n) (0x6030000000100000UL + 2 * (n))
#define PC CORE_REGISTER(32)

extern char guest_start[], guest_end[];

/* In the guest's order. */
static const char *const names[] = {
	"guest_empty",
	"guest_hvc_psci_version",
	"guest_hvc_vendor_uid",
	"guest_hvc_unknown",
	"guest_load_warm",
	"guest_s2fault_populated",
	"guest_s2fault_unpopulated",
	"guest_mmio_write_user",
	"guest_mmio_read_user",
	"guest_gicd_read_kernel",
	"guest_sgi1r_write",
	"guest_mem_share",
	"guest_mem_unshare",
};
#define NAMES (sizeof(names) / sizeof(names[0]))
#define FIRST_OF_VGIC 9
#define FIRST_OF_PROTECTED 11

static const char *prefix;
static int is_protected, has_vgic;
static char *ram;

static void die(const char *what)
{
	printf("@peer-note %s%s: %s\n", prefix, what, strerror(errno));
	exit(1);
}

static void check(int result, const char *what)
{
	if (result < 0)
		die(what);
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* The guest's RAM with its code, in small pages. */
static void fill_ram(int vm)
{
	char *all = mmap(0, RAM_SIZE + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region region = {
		.guest_phys_addr = RAM,
		.memory_size = RAM_SIZE,
	};

	if (all == MAP_FAILED)
		die("mmap");
	ram = (char *)(((uintptr_t)all + HUGE - 1) & ~(HUGE - 1));
	check(madvise(ram, RAM_SIZE, MADV_NOHUGEPAGE), "madvise");
	memcpy(ram, guest_start, guest_end - guest_start);
	*(uint64_t *)(ram + FLAGS_AT) = is_protected << FLAG_PROTECTED | has_vgic << FLAG_VGIC;
	memset(ram + (TOUCHED - RAM), 0x5a, (ROUNDS + 4) * 4096UL);
	memset(ram + (RESULTS - RAM), 0, RESULTS_SIZE);
	region.userspace_addr = (uint64_t)ram;
	check(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "memory region");
}

static int make_vcpu(int vm)
{
	struct kvm_vcpu_init init = { 0 };
	int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);

	check(vcpu, "create vCPU");
	check(ioctl(vm, KVM_ARM_PREFERRED_TARGET, &init), "preferred target");
	init.features[0] |= 1u << KVM_ARM_VCPU_PSCI_0_2;
	check(ioctl(vcpu, KVM_ARM_VCPU_INIT, &init), "vCPU init");
	return vcpu;
}

static void set_attribute(int device, uint32_t group, uint64_t which, uint64_t *value)
{
	struct kvm_device_attr attribute = {
		.group = group,
		.attr = which,
		.addr = (uint64_t)value,
	};

	check(ioctl(device, KVM_SET_DEVICE_ATTR, &attribute), "attribute of the vGIC");
}

static void make_vgic(int vm)
{
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_ARM_VGIC_V3 };
	uint64_t distributor = DISTRIBUTOR, redistributor = REDISTRIBUTOR;

	check(ioctl(vm, KVM_CREATE_DEVICE, &device), "create vGIC");
	set_attribute(device.fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, &distributor);
	set_attribute(device.fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST, &redistributor);
	set_attribute(device.fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL);
}

static void set_pc(int vcpu, uint64_t pc)
{
	struct kvm_one_reg reg = { .id = PC, .addr = (uint64_t)&pc };

	check(ioctl(vcpu, KVM_SET_ONE_REG, &reg), "set PC");
}

/* Runs the guest until it says that it is at its end. What it reads from user space is whatever is there. */
static void run(int kvm, int vcpu)
{
	int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	struct kvm_run *state = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);

	if (state == MAP_FAILED)
		die("mmap of the vCPU");
	for (;;) {
		check(ioctl(vcpu, KVM_RUN, 0), "run");
		if (state->exit_reason != KVM_EXIT_MMIO) {
			printf("@peer-note %sexit for reason %u\n", prefix, state->exit_reason);
			exit(1);
		}
		if (state->mmio.phys_addr == THE_END)
			return;
	}
}

static sigjmp_buf after_signal;

static void on_signal(int signal)
{
	siglongjmp(after_signal, signal);
}

/* Whether the host's user space is kept from a page of the guest's that was not shared. */
static void touch_private_page(void)
{
	volatile char *page = ram + (TOUCHED - RAM) + 5 * 4096;
	int signal;

	sigaction(SIGSEGV, &(struct sigaction){ .sa_handler = on_signal }, NULL);
	sigaction(SIGBUS, &(struct sigaction){ .sa_handler = on_signal }, NULL);
	signal = sigsetjmp(after_signal, 1);
	if (!signal)
		(void)*page;
	printf("@peer %shost_touch_signal %d signal\n", prefix, signal);
}

static void report(void)
{
	unsigned end = is_protected ? NAMES : FIRST_OF_PROTECTED;
	uint32_t base = 0;

	for (unsigned i = 0; i < end; i++) {
		uint32_t *rounds = (uint32_t *)(ram + (RESULTS - RAM) + (unsigned long)i * RESULTS_STRIDE);

		if (!has_vgic && i >= FIRST_OF_VGIC && i < FIRST_OF_PROTECTED)
			continue;
		qsort(rounds, ROUNDS, sizeof(*rounds), compare);
		printf("@peer %s%s.min %d instructions\n", prefix, names[i], (int)(rounds[0] - base));
		printf("@peer %s%s.median %d instructions\n", prefix, names[i], (int)(rounds[ROUNDS / 2] - base));
		printf("@peer %s%s.p99 %d instructions\n", prefix, names[i], (int)(rounds[ROUNDS * 99 / 100] - base));
		/* The first is the pair with nothing between: it is taken off all others. */
		if (i == 0)
			base = rounds[ROUNDS / 2];
	}
	if (is_protected) {
		int64_t *returned = (int64_t *)(ram + (RESULTS - RAM) + NAMES * RESULTS_STRIDE);

		printf("@peer %smem_share_status %lld status\n", prefix, (long long)returned[0]);
		printf("@peer %smem_unshare_status %lld status\n", prefix, (long long)returned[1]);
	}
}

int main(int count, char **arguments)
{
	int kvm, vm, vcpu;

	prefix = count > 1 ? arguments[1] : "";
	is_protected = getenv("PROTECTED") != NULL;
	has_vgic = getenv("VGIC") != NULL;
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	check(kvm, "open /dev/kvm");
	vm = ioctl(kvm, KVM_CREATE_VM, is_protected ? PROTECTED_VM_TYPE : 0);
	check(vm, "create VM");
	if (count > 2)
		return system(arguments[2]) != 0;
	fill_ram(vm);
	vcpu = make_vcpu(vm);
	if (has_vgic)
		make_vgic(vm);
	set_pc(vcpu, RAM);
	run(kvm, vcpu);
	if (is_protected)
		touch_private_page();
	report();
	return 0;
}
