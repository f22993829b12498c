// SPDX-License-Identifier: Apache-2.0 OR MIT
/* What the benchmarks' user spaces have in common: see vm.h. */
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <linux/kvm.h>

#define HUGE 0x200000UL
#define CORE_REGISTER(n) (0x6030000000100000UL + 2 * (n))
#define PC CORE_REGISTER(32)

const char *prefix = "";

static void die(const char *what)
{
	printf("@peer-note %s%s: %s\n", prefix, what, strerror(errno));
	exit(1);
}

void check(int result, const char *what)
{
	if (result < 0)
		die(what);
}

struct guest make_vm(unsigned long type)
{
	struct guest guest = { .kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC) };

	check(guest.kvm, "open /dev/kvm");
	guest.vm = ioctl(guest.kvm, KVM_CREATE_VM, type);
	check(guest.vm, "create VM");
	return guest;
}

void fill_ram(struct guest *guest, const char *start, const char *end, uint64_t flags)
{
	char *all = mmap(0, RAM_SIZE + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region region = {
		.guest_phys_addr = RAM,
		.memory_size = RAM_SIZE,
	};
	char *ram;

	if (all == MAP_FAILED)
		die("mmap");
	ram = (char *)(((uintptr_t)all + HUGE - 1) & ~(HUGE - 1));
	check(madvise(ram, RAM_SIZE, MADV_NOHUGEPAGE), "madvise");
	memcpy(ram, start, end - start);
	*(uint64_t *)(ram + FLAGS_AT) = flags;
	memset(ram + (TOUCHED - RAM), 0x5a, (ROUNDS + 4) * 4096UL);
	memset(ram + (RESULTS - RAM), 0, RESULTS_SIZE);
	region.userspace_addr = (uint64_t)ram;
	check(ioctl(guest->vm, KVM_SET_USER_MEMORY_REGION, &region), "memory region");
	guest->ram = ram;
}

int make_vcpu(const struct guest *guest, unsigned id, uint64_t offset)
{
	struct kvm_vcpu_init init = { 0 };
	uint64_t pc = RAM + offset;
	struct kvm_one_reg reg = { .id = PC, .addr = (uint64_t)&pc };
	int vcpu = ioctl(guest->vm, KVM_CREATE_VCPU, id);

	check(vcpu, "create vCPU");
	check(ioctl(guest->vm, KVM_ARM_PREFERRED_TARGET, &init), "preferred target");
	init.features[0] |= 1u << KVM_ARM_VCPU_PSCI_0_2;
	check(ioctl(vcpu, KVM_ARM_VCPU_INIT, &init), "vCPU init");
	check(ioctl(vcpu, KVM_SET_ONE_REG, &reg), "set PC");
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

void make_vgic(const struct guest *guest)
{
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_ARM_VGIC_V3 };
	uint64_t distributor = DISTRIBUTOR, redistributor = REDISTRIBUTOR;

	check(ioctl(guest->vm, KVM_CREATE_DEVICE, &device), "create vGIC");
	set_attribute(device.fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, &distributor);
	set_attribute(device.fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST, &redistributor);
	set_attribute(device.fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL);
}

void run_vcpu(const struct guest *guest, int vcpu)
{
	int size = ioctl(guest->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
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

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

void report(const char *name, uint32_t *rounds, unsigned count, uint32_t base)
{
	qsort(rounds, count, sizeof(*rounds), compare);
	printf("@peer %s%s.min %d instructions\n", prefix, name, (int)(rounds[0] - base));
	printf("@peer %s%s.median %d instructions\n", prefix, name, (int)(rounds[count / 2] - base));
	printf("@peer %s%s.p99 %d instructions\n", prefix, name, (int)(rounds[count * 99 / 100] - base));
}
