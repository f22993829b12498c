// SPDX-License-Identifier: Apache-2.0 OR MIT
/*
 * The least user space that KVM needs for a guest of one vCPU; the guest (guest.S) counts what its exits take.
 *
 * vmbench PREFIX: prints "@peer PREFIXname.median value instructions" for each measurement.
 * vmbench - COMMAND: runs COMMAND while a VM exists.
 * With VGIC in the environment the guest has an interrupt controller in the kernel, with PROTECTED it is a protected VM.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "vm.h"

#define PROTECTED_VM_TYPE 0x80000000UL

extern const char guest_start[], guest_end[];

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

static sigjmp_buf after_signal;

static void on_signal(int signal)
{
	siglongjmp(after_signal, signal);
}

/* Whether the host's user space is kept from a page of the guest's that was not shared. */
static void touch_private_page(const struct guest *guest)
{
	volatile char *page = guest->ram + (TOUCHED - RAM) + 5 * 4096;
	int signal;

	sigaction(SIGSEGV, &(struct sigaction){ .sa_handler = on_signal }, NULL);
	sigaction(SIGBUS, &(struct sigaction){ .sa_handler = on_signal }, NULL);
	signal = sigsetjmp(after_signal, 1);
	if (!signal)
		(void)*page;
	printf("@peer %shost_touch_signal %d signal\n", prefix, signal);
}

static void report_all(const struct guest *guest, int is_protected, int has_vgic)
{
	char *results = guest->ram + (RESULTS - RAM);
	unsigned end = is_protected ? NAMES : FIRST_OF_PROTECTED;
	uint32_t base = 0;

	for (unsigned i = 0; i < end; i++) {
		uint32_t *rounds = (uint32_t *)(results + (unsigned long)i * RESULTS_STRIDE);

		if (!has_vgic && i >= FIRST_OF_VGIC && i < FIRST_OF_PROTECTED)
			continue;
		report(names[i], rounds, ROUNDS, base);
		/* The first is the pair with nothing between: it is taken off all others. */
		if (i == 0)
			base = rounds[ROUNDS / 2];
	}
	if (is_protected) {
		int64_t *returned = (int64_t *)(results + NAMES * RESULTS_STRIDE);

		printf("@peer %smem_share_status %lld status\n", prefix, (long long)returned[0]);
		printf("@peer %smem_unshare_status %lld status\n", prefix, (long long)returned[1]);
	}
}

int main(int count, char **arguments)
{
	int is_protected = getenv("PROTECTED") != NULL;
	int has_vgic = getenv("VGIC") != NULL;
	struct guest guest;
	int vcpu;

	prefix = count > 1 ? arguments[1] : "";
	guest = make_vm(is_protected ? PROTECTED_VM_TYPE : 0);
	if (count > 2)
		return system(arguments[2]) != 0;
	fill_ram(&guest, guest_start, guest_end, is_protected << FLAG_PROTECTED | has_vgic << FLAG_VGIC);
	vcpu = make_vcpu(&guest, 0, 0);
	if (has_vgic)
		make_vgic(&guest);
	run_vcpu(&guest, vcpu);
	if (is_protected)
		touch_private_page(&guest);
	report_all(&guest, is_protected, has_vgic);
	return 0;
}
