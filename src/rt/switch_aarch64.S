/* SPDX-License-Identifier: MIT */
#if defined(__aarch64__)
	.text

/* void rt_switch(void **save, void *load) */
	.globl	rt_switch
	.hidden	rt_switch
	.type	rt_switch, %function
	.p2align 5
rt_switch:
	.cfi_startproc
	sub	sp, sp, #160
	.cfi_def_cfa_offset 160
	stp	d8, d9, [sp, #0]
	stp	d10, d11, [sp, #16]
	stp	d12, d13, [sp, #32]
	stp	d14, d15, [sp, #48]
	stp	x19, x20, [sp, #64]
	stp	x21, x22, [sp, #80]
	stp	x23, x24, [sp, #96]
	stp	x25, x26, [sp, #112]
	stp	x27, x28, [sp, #128]
	stp	x29, x30, [sp, #144]
	.cfi_rel_offset x19, 64
	.cfi_rel_offset x20, 72
	.cfi_rel_offset x21, 80
	.cfi_rel_offset x22, 88
	.cfi_rel_offset x23, 96
	.cfi_rel_offset x24, 104
	.cfi_rel_offset x25, 112
	.cfi_rel_offset x26, 120
	.cfi_rel_offset x27, 128
	.cfi_rel_offset x28, 136
	.cfi_rel_offset x29, 144
	.cfi_rel_offset x30, 152
	mov	x9, sp
	str	x9, [x0]
	mov	sp, x1
	ldp	d8, d9, [sp, #0]
	ldp	d10, d11, [sp, #16]
	ldp	d12, d13, [sp, #32]
	ldp	d14, d15, [sp, #48]
	ldp	x19, x20, [sp, #64]
	ldp	x21, x22, [sp, #80]
	ldp	x23, x24, [sp, #96]
	ldp	x25, x26, [sp, #112]
	ldp	x27, x28, [sp, #128]
	ldp	x29, x30, [sp, #144]
	add	sp, sp, #160
	.cfi_def_cfa_offset 0
	.cfi_restore x19
	.cfi_restore x20
	.cfi_restore x21
	.cfi_restore x22
	.cfi_restore x23
	.cfi_restore x24
	.cfi_restore x25
	.cfi_restore x26
	.cfi_restore x27
	.cfi_restore x28
	.cfi_restore x29
	.cfi_restore x30
	ret
	.cfi_endproc
	.size	rt_switch, . - rt_switch

/* First frame of every stack: entry in x19, arg in x20; see the x86-64 twin. */
	.globl	rt_switch_start
	.hidden	rt_switch_start
	.type	rt_switch_start, %function
	.p2align 4
rt_switch_start:
	.cfi_startproc
	.cfi_undefined x30
	nop
rt_switch_begin:
	mov	x29, #0
	mov	x30, #0
	mov	x0, x20
	blr	x19
	brk	#1
	.cfi_endproc
	.size	rt_switch_start, . - rt_switch_start

/* void *rt_switch_prepare(void *top, void (*entry)(void *), void *arg) */
	.globl	rt_switch_prepare
	.hidden	rt_switch_prepare
	.type	rt_switch_prepare, %function
	.p2align 4
rt_switch_prepare:
	.cfi_startproc
	sub	x9, x0, #176
	stp	xzr, xzr, [x9, #0]
	stp	xzr, xzr, [x9, #16]
	stp	xzr, xzr, [x9, #32]
	stp	xzr, xzr, [x9, #48]
	stp	x1, x2, [x9, #64]
	stp	xzr, xzr, [x9, #80]
	stp	xzr, xzr, [x9, #96]
	stp	xzr, xzr, [x9, #112]
	stp	xzr, xzr, [x9, #128]
	adrp	x10, rt_switch_begin
	add	x10, x10, :lo12:rt_switch_begin
	stp	xzr, x10, [x9, #144]
	mov	x0, x9
	ret
	.cfi_endproc
	.size	rt_switch_prepare, . - rt_switch_prepare
#endif
	.section .note.GNU-stack, "", %progbits
