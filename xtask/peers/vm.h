/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A guest of KVM's with its RAM and vCPUs, and what else the benchmarks' user spaces have in common. */
#include <stdint.h>

#include "layout.h"

struct guest {
	int kvm, vm;
	/* The guest's RAM here. */
	char *ram;
};

/* Put in front of all that is printed. */
extern const char *prefix;

/* Ends the program with a note of what failed if `result` is negative. */
void check(int result, const char *what);
/* Makes a VM: a protected one has another type. */
struct guest make_vm(unsigned long type);
/* Gives it RAM in small pages with the code from `start` to `end` at its begin, and tells it `flags`. */
void fill_ram(struct guest *guest, const char *start, const char *end, uint64_t flags);
/* Makes the vCPU number `id`, which starts `offset` bytes behind the code's begin. */
int make_vcpu(const struct guest *guest, unsigned id, uint64_t offset);
/* Gives the vCPUs that there are an interrupt controller. */
void make_vgic(const struct guest *guest);
/* Runs a vCPU until the guest says that it is at its end. What it reads from user space is whatever is there. */
void run_vcpu(const struct guest *guest, int vcpu);
/* Sorts `count` rounds and prints them, `base` taken off. */
void report(const char *name, uint32_t *rounds, unsigned count, uint32_t base);
