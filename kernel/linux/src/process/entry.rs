//! Where the program `dhow-runtime` begins, before the C library does.
//!
//! A runtime that enters containers executes itself again from a read-only mount of its own file, so that no container can
//! overwrite it (see `cli/protect.rs` of the crate `runtime`, which does it wherever this could not). Done from `main`, that
//! is the price of two starts of a static program: the C library asks the processor some forty times what it can do, and in
//! a virtual machine each question goes to the hypervisor (6 µs measured); then come the first touches of a hundred pages.
//! Here it is five system calls.
//!
//! `xtask` names `dhow_entry` to the linker as the entry point. Nothing of the C library or of Rust is usable yet: no
//! thread-local storage, no relocated calls. Whatever fails is left to the slow way, with all descriptors closed again. It
//! acts on any command line with an argument `run`, `create`, `exec` or `restore` among at least two, in whatever place:
//! to be executed again without need does no harm. Not, however, as a container's init (a name that ends in `init`).

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
core::arch::global_asm!(
    r#"
    .pushsection .text.dhow_entry, "ax", @progbits
    .globl dhow_entry
    .type dhow_entry, @function
dhow_entry:
    # What the dynamic linker, if there is one, wants to be called at the end.
    mov     r15, rdx
    mov     r12, [rsp]
    cmp     r12, 3
    jb      9f
    lea     r13, [rsp + 8]
    lea     r14, [r13 + 8*r12 + 8]

    # The last four bytes of the program's name; there is always something below it on the stack.
    mov     rsi, [r13]
2:  cmp     byte ptr [rsi], 0
    je      3f
    inc     rsi
    jmp     2b
3:  cmp     dword ptr [rsi - 4], 0x74696e69         # "init"
    je      9f

    # Above the arguments lie at least eight bytes more, so that four may be read of each.
    mov     ecx, 1
4:  mov     rsi, [r13 + 8*rcx]
    mov     eax, [rsi]
    cmp     eax, 0x006e7572                         # "run"
    je      7f
    cmp     eax, 0x63657865                         # "exec"
    jne     5f
    cmp     byte ptr [rsi + 4], 0
    je      7f
5:  cmp     eax, 0x61657263                         # "crea" "te"
    jne     6f
    cmp     word ptr [rsi + 4], 0x6574
    jne     6f
    cmp     byte ptr [rsi + 6], 0
    je      7f
6:  cmp     eax, 0x74736572                         # "rest" "ore"
    jne     8f
    cmp     dword ptr [rsi + 4], 0x0065726f
    je      7f
8:  inc     ecx
    cmp     ecx, r12d
    jb      4b
    jmp     9f

7:  sub     rsp, 128
    lea     rdi, [rip + .Ldhow_exe]
    mov     esi, 0x80000                            # O_RDONLY | O_CLOEXEC
    mov     eax, 2                                  # open
    syscall
    test    eax, eax
    js      13f
    mov     ebx, eax

    mov     edi, ebx
    mov     rsi, rsp
    mov     eax, 138                                # fstatfs
    syscall
    test    eax, eax
    jnz     12f
    test    byte ptr [rsp + 80], 1                  # f_flags, ST_RDONLY
    jnz     12f

    mov     edi, ebx
    lea     rsi, [rip + .Ldhow_nothing]
    mov     edx, 0x81001                            # OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH
    mov     eax, 428                                # open_tree
    syscall
    test    eax, eax
    js      12f
    mov     ebp, eax

    mov     qword ptr [rsp], 1                      # MOUNT_ATTR_RDONLY
    mov     qword ptr [rsp + 8], 0
    mov     qword ptr [rsp + 16], 0
    mov     qword ptr [rsp + 24], 0
    mov     edi, ebp
    lea     rsi, [rip + .Ldhow_nothing]
    mov     edx, 0x1000                             # AT_EMPTY_PATH
    mov     r10, rsp
    mov     r8d, 32
    mov     eax, 442                                # mount_setattr
    syscall
    test    eax, eax
    jnz     11f

    mov     edi, ebp
    lea     rsi, [rip + .Ldhow_nothing]
    mov     rdx, r13
    mov     r10, r14
    mov     r8d, 0x1000
    mov     eax, 322                                # execveat
    syscall

11: mov     edi, ebp
    mov     eax, 3                                  # close
    syscall
12: mov     edi, ebx
    mov     eax, 3
    syscall
13: add     rsp, 128

9:  mov     rdx, r15
    jmp     _start
.Ldhow_exe:
    .asciz  "/proc/self/exe"
.Ldhow_nothing:
    .asciz  ""
    .size dhow_entry, . - dhow_entry
    .popsection
"#
);
