/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The guest: no stack, no memory management; each measurement is a loop with two reads of the counter around what is
 * measured, in the order of vmbench.c's list.
 *
 * x29 is where the next result goes, x26 how often, x25 the flags. x20 to x23 belong to the loop, x24 to what is
 * measured.
 */
#include "layout.h"

	.section .rodata
	.balign 4096
	.global guest_start, guest_end
guest_start:
	b	begin
	nop
flags:
	.quad	0

	.macro	address reg, value
	movz	\reg, #((\value) & 0xffff)
	movk	\reg, #((\value) >> 16), lsl #16
	.endm

	/* All calls of SMCCC here have numbers of 32 bits. */
	.macro	measure
	mov	x20, x29
	mov	x21, x26
1:	isb
	mrs	x22, cntvct_el0
	.endm

	.macro	measured
	isb
	mrs	x23, cntvct_el0
	sub	x23, x23, x22
	str	w23, [x20], #4
	subs	x21, x21, #1
	b.ne	1b
	add	x29, x29, #RESULTS_STRIDE
	.endm

	.macro	share function
	movz	x0, #0xc600, lsl #16
	movk	x0, #\function
	mov	x1, x24
	mov	x2, #0
	mov	x3, #0
	hvc	#0
	.endm

begin:
	address	x29, RESULTS
	address	x28, TOUCHED
	address	x27, UNTOUCHED
	mov	x26, #ROUNDS
	ldr	x25, flags
	/* What a protected guest wants to be read, it shares: the results, after a first store. */
	tbz	x25, #FLAG_PROTECTED, 3f
	mov	x24, x29
	mov	x21, #(RESULTS_SIZE / 4096)
2:	str	xzr, [x24]
	share	3
	add	x24, x24, #4096
	subs	x21, x21, #1
	b.ne	2b
3:
	/* guest_empty */
	measure
	measured
	/* guest_hvc_psci_version */
	measure
	movz	x0, #0x8400, lsl #16
	hvc	#0
	measured
	/* guest_hvc_vendor_uid */
	measure
	movz	x0, #0x8600, lsl #16
	movk	x0, #0xff01
	hvc	#0
	measured
	/* guest_hvc_unknown */
	measure
	movz	x0, #0x8400, lsl #16
	movk	x0, #0x7fff
	hvc	#0
	measured
	/* guest_load_warm: one page again and again */
	mov	x24, x28
	measure
	ldr	x0, [x24]
	measured
	/* guest_s2fault_populated */
	mov	x24, x28
	measure
	add	x24, x24, #4096
	ldr	x0, [x24]
	measured
	/* guest_s2fault_unpopulated */
	mov	x24, x27
	measure
	add	x24, x24, #4096
	str	x0, [x24]
	measured
	/* guest_mmio_write_user */
	mov	x24, #DEVICE
	measure
	str	x0, [x24]
	measured
	/* guest_mmio_read_user */
	mov	x24, #DEVICE
	measure
	ldr	x0, [x24]
	measured

	tbz	x25, #FLAG_VGIC, 4f
	/* guest_gicd_read_kernel: GICD_IIDR, which the kernel answers for */
	address	x24, DISTRIBUTOR
	measure
	ldr	w0, [x24, #8]
	measured
	/* guest_sgi1r_write: ICC_SGI1R_EL1, interrupt 0 to nobody */
	measure
	msr	s3_0_c12_c11_5, xzr
	measured
	b	5f
4:	add	x29, x29, #(2 * RESULTS_STRIDE)

5:	tbz	x25, #FLAG_PROTECTED, 6f
	/* guest_mem_share, guest_mem_unshare */
	mov	x24, x28
	measure
	add	x24, x24, #4096
	share	3
	mov	x19, x0
	measured
	mov	x24, x28
	measure
	add	x24, x24, #4096
	share	4
	mov	x18, x0
	measured
	/* What the last of each returned. */
	str	x19, [x29]
	str	x18, [x29, #8]

6:	mov	x24, #THE_END
	str	x0, [x24]
7:	b	7b
guest_end:
	.section .note.GNU-stack, "", %progbits
