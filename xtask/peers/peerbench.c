// SPDX-License-Identifier: GPL-2.0
/*
 * What a call from EL1 to the hypervisor at EL2 takes: instructions, by two reads of the counter around it.
 *
 * One tick is one instruction on QEMU with -icount shift=0 and a counter of 1 GHz. Interrupts are off between the two
 * reads; what they cost with nothing between is taken off. Each figure is a line "@peer name value unit" in the log.
 */
#include <linux/arm-smccc.h>
#include <linux/io.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/string.h>
#include <linux/vmalloc.h>
#include <asm/kvm_asm.h>
#include <asm/sysreg.h>
#include <asm/virt.h>
#include <asm/xen/hypercall.h>
#include <xen/grant_table.h>
#include <xen/interface/grant_table.h>
#include <xen/interface/memory.h>
#include <xen/interface/xen.h>
#include <xen/page.h>
#include <xen/xen.h>

/* nvhe, protected, xen; anything else only shows that the counter counts instructions */
static char *peer = "none";
module_param(peer, charp, 0);

#define ROUNDS 2000
#define MOST_SAMPLES 65536
#define PAGES_PER_BLOCK 512
#define BLOCK_ORDER 9
#define BLOCKS 4

#define PSCI_VERSION 0x84000000
/* finalise EL2: too late for it */
#define STUB_CALL_REFUSED 3
#define STUB_ERROR 0xbadca11UL
#define UNKNOWN_ID KVM_HOST_SMCCC_ID(0xf00)
#define XEN_XEN_VERSION 17
#define XEN_UNKNOWN 60

static u32 *samples, *others;
static int count;
/* the empty pair */
static u32 base;

static __always_inline u64 now(void)
{
	u64 value;

	asm volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(value) :: "memory");
	return value;
}

static __always_inline u64 hvc4(u64 a0, u64 a1, u64 a2, u64 a3, u64 *r1)
{
	register u64 x0 asm("x0") = a0;
	register u64 x1 asm("x1") = a1;
	register u64 x2 asm("x2") = a2;
	register u64 x3 asm("x3") = a3;

	asm volatile("hvc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)
		     :: "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14",
		     "x15", "x16", "x17", "memory", "cc");
	if (r1)
		*r1 = x1;
	return x0;
}

static __always_inline u64 smc1(u64 a0)
{
	register u64 x0 asm("x0") = a0;

	asm volatile("smc #0" : "+r"(x0)
		     :: "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12",
		     "x13", "x14", "x15", "x16", "x17", "memory", "cc");
	return x0;
}

static __always_inline u64 xen_hvc(u64 number, u64 a0, u64 a1)
{
	register u64 x0 asm("x0") = a0;
	register u64 x1 asm("x1") = a1;
	register u64 x16 asm("x16") = number;

	asm volatile("hvc #0xEA1" : "+r"(x0), "+r"(x1), "+r"(x16)
		     :: "x2", "x3", "x4", "memory", "cc");
	return x0;
}

static int compare(const void *a, const void *b)
{
	u32 x = *(u32 *)a, y = *(u32 *)b;

	return x < y ? -1 : x > y;
}

static void report(const char *name)
{
	if (!count)
		return;
	sort(samples, count, sizeof(u32), compare, NULL);
	pr_info("@peer %s.min %d instructions\n", name, (int)(samples[0] - base));
	pr_info("@peer %s.median %d instructions\n", name, (int)(samples[count / 2] - base));
	pr_info("@peer %s.p99 %d instructions\n", name, (int)(samples[(u64)count * 99 / 100] - base));
}

static void report_others(const char *name)
{
	memcpy(samples, others, count * sizeof(u32));
	report(name);
}

/* A macro, so that nothing but the expression is between the reads. */
#define MEASURE(name, expression) do { \
	unsigned long flags_; \
	int round_; \
	count = 0; \
	for (round_ = 0; round_ < ROUNDS; round_++) { \
		u64 from_, to_; \
		local_irq_save(flags_); \
		from_ = now(); \
		expression; \
		to_ = now(); \
		local_irq_restore(flags_); \
		samples[count++] = to_ - from_; \
	} \
	report(name); \
} while (0)

/* 1000 instructions have to count as such. */
static void measure_counter(void)
{
	u32 empty;

	base = 0;
	MEASURE("empty_raw", asm volatile(""));
	empty = samples[count / 2];
	base = empty;
	MEASURE("nop1000", asm volatile(".rept 1000\n nop\n .endr"));
}

/* A register of the distributor, which the hypervisor answers for. */
static void measure_distributor(void)
{
	void __iomem *distributor = ioremap(0x08000000, 0x10000);

	if (!distributor)
		return;
	MEASURE("gicd_iidr_read", (void)__raw_readl(distributor + 8));
	iounmap(distributor);
}

/* Dom0 grants a page to itself, maps it and unmaps it. */
static void measure_grants(void)
{
	struct page *page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	struct page *place = alloc_page(GFP_KERNEL | __GFP_ZERO);
	int i, wrong = 0, ref;

	if (!page || !place)
		return;
	ref = gnttab_grant_foreign_access(0, xen_page_to_gfn(page), 0);
	if (ref < 0)
		return;
	for (i = 0; i < ROUNDS; i++) {
		struct gnttab_map_grant_ref map;
		struct gnttab_unmap_grant_ref unmap;
		unsigned long flags;
		u64 t0, t1, t2, t3;

		memset(&map, 0, sizeof(map));
		memset(&unmap, 0, sizeof(unmap));
		map.host_addr = page_to_phys(place);
		map.flags = GNTMAP_host_map;
		map.ref = ref;
		map.dom = 0;
		local_irq_save(flags);
		t0 = now();
		HYPERVISOR_grant_table_op(GNTTABOP_map_grant_ref, &map, 1);
		t1 = now();
		local_irq_restore(flags);
		unmap.host_addr = map.host_addr;
		unmap.handle = map.handle;
		local_irq_save(flags);
		t2 = now();
		HYPERVISOR_grant_table_op(GNTTABOP_unmap_grant_ref, &unmap, 1);
		t3 = now();
		local_irq_restore(flags);
		if (map.status || unmap.status)
			wrong++;
		samples[i] = t1 - t0;
		others[i] = t3 - t2;
	}
	pr_info("@peer grant_errors %d calls\n", wrong);
	count = ROUNDS;
	report("grant_map_self");
	report_others("grant_unmap_self");
}

static void measure_xen(void)
{
	pr_info("@peer xen_version %llu version\n", xen_hvc(XEN_XEN_VERSION, 0, 0));
	MEASURE("hcall_xen_version", xen_hvc(XEN_XEN_VERSION, 0, 0));
	MEASURE("hcall_unknown_nr", xen_hvc(XEN_UNKNOWN, 0, 0));
	MEASURE("hvc_psci_version", hvc4(PSCI_VERSION, 0, 0, 0, NULL));
	measure_distributor();
	measure_grants();
}

#define SHARE(pfn) hvc4(KVM_HOST_SMCCC_FUNC(__pkvm_host_share_hyp), pfn, 0, 0, &shared)
#define UNSHARE(pfn) hvc4(KVM_HOST_SMCCC_FUNC(__pkvm_host_unshare_hyp), pfn, 0, 0, &unshared)

/* One page again and again, whose tables are there. */
static void share_one_page(struct page *block)
{
	u64 pfn = page_to_pfn(block), shared, unshared;
	int i, wrong = 0;

	for (i = 0; i < ROUNDS; i++) {
		unsigned long flags;
		u64 t0, t1, t2, t3;

		local_irq_save(flags);
		t0 = now();
		SHARE(pfn);
		t1 = now();
		t2 = now();
		UNSHARE(pfn);
		t3 = now();
		local_irq_restore(flags);
		samples[i] = t1 - t0;
		others[i] = t3 - t2;
		if (shared || unshared)
			wrong++;
	}
	pr_info("@peer share_samepage_errors %d calls\n", wrong);
	count = ROUNDS;
	report("share_hyp_samepage");
	report_others("unshare_hyp_samepage");
}

/* All pages of three blocks, first shared, then unshared. */
static void share_many_pages(struct page **blocks)
{
	u64 shared, unshared;
	int block, i, wrong = 0;

	count = 0;
	for (block = 0; block < 3; block++) {
		for (i = 0; i < PAGES_PER_BLOCK; i++) {
			u64 pfn = page_to_pfn(blocks[block]) + i, t0, t1;
			unsigned long flags;

			local_irq_save(flags);
			t0 = now();
			SHARE(pfn);
			t1 = now();
			local_irq_restore(flags);
			if (shared)
				wrong++;
			samples[count++] = t1 - t0;
		}
	}
	report("share_hyp_distinct");
	count = 0;
	for (block = 0; block < 3; block++) {
		for (i = 0; i < PAGES_PER_BLOCK; i++) {
			u64 pfn = page_to_pfn(blocks[block]) + i, t0, t1;
			unsigned long flags;

			local_irq_save(flags);
			t0 = now();
			UNSHARE(pfn);
			t1 = now();
			local_irq_restore(flags);
			if (unshared)
				wrong++;
			samples[count++] = t1 - t0;
		}
	}
	report("unshare_hyp_distinct");
	pr_info("@peer share_distinct_errors %d calls\n", wrong);
}

/* The first and second touch of pages whose block in the host's map was broken by sharing its first page. */
static void touch_pages(struct page **blocks)
{
	u64 shared, unshared;
	int block, i;

	for (block = 0; block < BLOCKS; block++) {
		SHARE(page_to_pfn(blocks[block]));
		UNSHARE(page_to_pfn(blocks[block]));
	}
	count = 0;
	for (block = 0; block < BLOCKS; block++) {
		for (i = 1; i < PAGES_PER_BLOCK; i++) {
			volatile u64 *word = page_address(blocks[block]) + i * PAGE_SIZE;
			unsigned long flags;
			u64 t0, t1, t2;

			local_irq_save(flags);
			t0 = now();
			(void)*word;
			t1 = now();
			(void)*word;
			t2 = now();
			local_irq_restore(flags);
			samples[count] = t1 - t0;
			others[count++] = t2 - t1;
		}
	}
	report("host_s2_first_touch");
	report_others("host_s2_second_touch");
}

static void measure_protected(void)
{
	struct page *blocks[BLOCKS];
	int got;

	MEASURE("smc_psci_version_relayed", smc1(PSCI_VERSION));
	MEASURE("smc_unknown_forwarded", smc1(0x84000001 + 0x1fff));
	for (got = 0; got < BLOCKS; got++) {
		blocks[got] = alloc_pages(GFP_KERNEL | __GFP_ZERO, BLOCK_ORDER);
		if (!blocks[got])
			break;
	}
	if (got == BLOCKS) {
		touch_pages(blocks);
		share_one_page(blocks[0]);
		share_many_pages(blocks);
	}
	while (got--)
		__free_pages(blocks[got], BLOCK_ORDER);
}

/* KVM's code at EL2 under a kernel at EL1. */
static void measure_kvm(void)
{
	if (hvc4(UNKNOWN_ID, 0, 0, 0, NULL) == STUB_ERROR) {
		pr_info("@peer-note KVM is not at EL2\n");
		return;
	}
	MEASURE("hvc_stub_reject", hvc4(STUB_CALL_REFUSED, 0, 0, 0, NULL));
	MEASURE("hvc_unknown_id", hvc4(UNKNOWN_ID, 0, 0, 0, NULL));
	MEASURE("hvc_set_cntvoff",
		hvc4(KVM_HOST_SMCCC_FUNC(__kvm_timer_set_cntvoff), 0, 0, 0, NULL));
}

static int __init peerbench_init(void)
{
	samples = vmalloc(sizeof(u32) * MOST_SAMPLES);
	others = vmalloc(sizeof(u32) * MOST_SAMPLES);
	if (!samples || !others) {
		vfree(samples);
		vfree(others);
		return -ENOMEM;
	}
	pr_info("@peer cntfrq %llu Hz\n", (u64)read_sysreg(cntfrq_el0));
	measure_counter();
	if (!strcmp(peer, "xen")) {
		measure_xen();
	} else if (!strcmp(peer, "nvhe")) {
		measure_kvm();
	} else if (!strcmp(peer, "protected")) {
		measure_kvm();
		measure_protected();
	}
	vfree(samples);
	vfree(others);
	return 0;
}

static void __exit peerbench_exit(void)
{
}

module_init(peerbench_init);
module_exit(peerbench_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Counts what calls from EL1 to EL2 take");
