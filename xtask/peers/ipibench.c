// SPDX-License-Identifier: Apache-2.0 OR MIT
/* Runs the two vCPUs of guest_ipi.S, each in a thread on a core of its own, and prints what an SGI takes both cores. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>

#include "vm.h"

/* Two reads of the counter with nothing between. */
#define EMPTY_PAIR 2

extern const char ipi_start[], ipi_end[];

static struct guest guest;
static int vcpus[2];

static void stay_on_core(int core)
{
	cpu_set_t cores;

	CPU_ZERO(&cores);
	CPU_SET(core, &cores);
	check(sched_setaffinity(0, sizeof(cores), &cores), "affinity");
}

static void *run_target(void *unused)
{
	(void)unused;
	stay_on_core(1);
	run_vcpu(&guest, vcpus[1]);
	return NULL;
}

int main(void)
{
	pthread_t target;

	stay_on_core(0);
	guest = make_vm(0);
	fill_ram(&guest, ipi_start, ipi_end, 0);
	vcpus[0] = make_vcpu(&guest, 0, 0);
	vcpus[1] = make_vcpu(&guest, 1, IPI_TARGET_AT);
	make_vgic(&guest);
	if (pthread_create(&target, NULL, run_target, NULL)) {
		printf("@peer-note no thread for the target\n");
		return 1;
	}
	run_vcpu(&guest, vcpus[0]);
	report("vgic.guest_ipi", (uint32_t *)(guest.ram + (RESULTS - RAM)), IPI_ROUNDS, EMPTY_PAIR);
	/* The target never ends by itself. */
	return 0;
}
