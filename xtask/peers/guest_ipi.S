/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Two vCPUs, each on a core of its own: one sends an SGI, the other spins until it is interrupted by it.
 *
 * The counter is one for both cores. A round is the difference between a read before the SGI is written and one after
 * it is acknowledged, less what both cores spun meanwhile: each counts in memory how often it goes around its loop. On
 * the emulator "yield" lets the other core go on at once.
 *
 * x29 is where the shared words are, x26 the round.
 */
#include "layout.h"

	.section .rodata
	.balign 4096
	.global ipi_start, ipi_end
ipi_start:
	b	sender
	nop
flags:
	.quad	0

	.macro	address reg, value
	movz	\reg, #((\value) & 0xffff)
	movk	\reg, #((\value) >> 16), lsl #16
	.endm

sender:
	address	x29, (RESULTS + IPI_WORDS)
	address	x28, RESULTS
	/* Interrupts of group 1 are on, by affinity. */
	address	x0, DISTRIBUTOR
	mov	w1, #0x12
	str	w1, [x0]
	mov	x26, #0
	/* The target is there once it spins. */
1:	yield
	ldr	x0, [x29, #IPI_TARGET_WAITED]
	cbz	x0, 1b

next_round:
	/* The target is back in its loop. */
	mov	x0, #64
2:	yield
	subs	x0, x0, #1
	b.ne	2b
	add	x26, x26, #1
	mov	x6, #0
	str	x6, [x29, #IPI_SENDER_WAITED]
	mov	x4, #2
	ldr	x5, [x29, #IPI_TARGET_WAITED]
	isb
	mrs	x22, cntvct_el0
	/* ICC_SGI1R_EL1: interrupt 0 to the vCPU 1 */
	msr	s3_0_c12_c11_5, x4
3:	add	x6, x6, #1
	str	x6, [x29, #IPI_SENDER_WAITED]
	yield
	ldr	x7, [x29, #IPI_ANSWERED]
	cmp	x7, x26
	b.ne	3b

	ldr	x0, [x29, #IPI_TIME]
	sub	x0, x0, x22
	ldr	x1, [x29, #IPI_TARGET_THEN]
	sub	x1, x1, x5
	mov	x2, #IPI_TARGET_LOOP
	msub	x0, x1, x2, x0
	ldr	x1, [x29, #IPI_SENDER_THEN]
	mov	x2, #IPI_SENDER_LOOP
	msub	x0, x1, x2, x0
	str	w0, [x28], #4
	cmp	x26, #IPI_ROUNDS
	b.ne	next_round
	mov	x24, #THE_END
	str	x0, [x24]
4:	b	4b

	.org	ipi_start + IPI_TARGET_AT
	address	x29, (RESULTS + IPI_WORDS)
	adr	x0, vectors
	msr	vbar_el1, x0
	/* All SGIs of this vCPU: group 1, on. */
	address	x0, (REDISTRIBUTOR + 0x30000)
	mov	w1, #-1
	str	w1, [x0, #0x80]
	mov	w1, #0xffff
	str	w1, [x0, #0x100]
	/* ICC_PMR_EL1: any priority; ICC_IGRPEN1_EL1 */
	mov	x0, #0xff
	msr	s3_0_c4_c6_0, x0
	mov	x0, #1
	msr	s3_0_c12_c12_7, x0
	isb
	mov	x26, #0
	mov	x10, #0
	msr	daifclr, #2
5:	add	x10, x10, #1
	str	x10, [x29, #IPI_TARGET_WAITED]
	yield
	b	5b

	.balign	2048
vectors:
	.org	vectors + 0x280
	/* ICC_IAR1_EL1 */
	mrs	x0, s3_0_c12_c12_0
	isb
	mrs	x1, cntvct_el0
	ldr	x2, [x29, #IPI_SENDER_WAITED]
	str	x1, [x29, #IPI_TIME]
	str	x2, [x29, #IPI_SENDER_THEN]
	str	x10, [x29, #IPI_TARGET_THEN]
	/* ICC_EOIR1_EL1 */
	msr	s3_0_c12_c12_1, x0
	add	x26, x26, #1
	str	x26, [x29, #IPI_ANSWERED]
	eret
	.org	vectors + 0x800
ipi_end:
	.section .note.GNU-stack, "", %progbits
