/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the guest and its user space agree on. */

#define ROUNDS 1200
/* The guest's RAM, and what is where in it. */
#define RAM 0x40000000
#define RAM_SIZE 0x4000000
/* ROUNDS words of 32 bits for each measurement, this far from each other. */
#define RESULTS (RAM + 0x100000)
#define RESULTS_STRIDE 0x10000
#define RESULTS_SIZE 0x200000
/* Pages that user space has touched, and pages that it has not. */
#define TOUCHED (RAM + 0x800000)
#define UNTOUCHED (RAM + 0x2000000)
/* Without RAM: an access goes to user space. A write to the second ends the guest. */
#define DEVICE 0x1000
#define THE_END 0x2000
#define DISTRIBUTOR 0x08000000
#define REDISTRIBUTOR 0x080a0000
/* What the guest is told, at RAM + FLAGS_AT. */
#define FLAGS_AT 8
#define FLAG_PROTECTED 0
#define FLAG_VGIC 1

/* The two vCPUs of guest_ipi.S: where the second begins, and words that they share, from RESULTS + IPI_WORDS on. */
#define IPI_TARGET_AT 0x1000
#define IPI_ROUNDS 400
#define IPI_WORDS 0x8000
/* How often the target went around its loop, and the sender; of how many instructions these loops are. */
#define IPI_TARGET_WAITED 0
#define IPI_SENDER_WAITED 8
#define IPI_TARGET_LOOP 4
#define IPI_SENDER_LOOP 6
/* What the target's handler leaves: the number of the interrupt's round, the counter, and both of the above then. */
#define IPI_ANSWERED 16
#define IPI_TIME 24
#define IPI_TARGET_THEN 32
#define IPI_SENDER_THEN 40
