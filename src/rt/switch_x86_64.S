/* SPDX-License-Identifier: MIT */
#if defined(__x86_64__)
	.text

/*
 * void rt_switch(void **save, void *load)
 * Leaves by ret: all fibers switch from the same place, so that the return-address
 * predictor is right, and stays in step for the returns that follow. (An indirect jump
 * instead made each of those miss: 25 ns a yield, against 9.)
 */
	.globl	rt_switch
	.hidden	rt_switch
	.type	rt_switch, @function
	.p2align 5
rt_switch:
	.cfi_startproc
	pushq	%rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rbp, 0
	pushq	%rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rbx, 0
	pushq	%r12
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r12, 0
	pushq	%r13
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r13, 0
	pushq	%r14
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r14, 0
	pushq	%r15
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r15, 0
	movq	%rsp, (%rdi)
	movq	%rsi, %rsp
	popq	%r15
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r15
	popq	%r14
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r14
	popq	%r13
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r13
	popq	%r12
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r12
	popq	%rbx
	.cfi_adjust_cfa_offset -8
	.cfi_restore %rbx
	popq	%rbp
	.cfi_adjust_cfa_offset -8
	.cfi_restore %rbp
	ret
	.cfi_endproc
	.size	rt_switch, . - rt_switch

/*
 * First frame of every stack: entry in rbx, arg in r12. Unwinders look up the return
 * address less one, so the address that a new stack returns to lies behind an
 * instruction of this function; its caller is undefined, which ends a backtrace.
 */
	.globl	rt_switch_start
	.hidden	rt_switch_start
	.type	rt_switch_start, @function
	.p2align 4
rt_switch_start:
	.cfi_startproc
	.cfi_undefined %rip
	.cfi_undefined %rbp
	nop
rt_switch_begin:
	xorl	%ebp, %ebp
	movq	%r12, %rdi
	callq	*%rbx
	ud2
	.cfi_endproc
	.size	rt_switch_start, . - rt_switch_start

/* void *rt_switch_prepare(void *top, void (*entry)(void *), void *arg) */
	.globl	rt_switch_prepare
	.hidden	rt_switch_prepare
	.type	rt_switch_prepare, @function
	.p2align 4
rt_switch_prepare:
	.cfi_startproc
	leaq	-72(%rdi), %rax
	movq	$0, 0(%rax)
	movq	$0, 8(%rax)
	movq	$0, 16(%rax)
	movq	%rdx, 24(%rax)
	movq	%rsi, 32(%rax)
	movq	$0, 40(%rax)
	leaq	rt_switch_begin(%rip), %rcx
	movq	%rcx, 48(%rax)
	movq	$0, 56(%rax)
	movq	$0, 64(%rax)
	ret
	.cfi_endproc
	.size	rt_switch_prepare, . - rt_switch_prepare
#endif
	.section .note.GNU-stack, "", @progbits
