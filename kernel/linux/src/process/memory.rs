//! The memory of the calling process.

use super::thread_count;

/// How much of the stack below the caller is looked at; the kernel keeps a larger gap free below every stack
/// (`stack_guard_gap`, 1 MiB), so that nothing else can be mapped there.
const STACK: usize = 512 << 10;
const PAGE: usize = 4096;

/// Gives memory back to the kernel that a burst of work has used: the heap's free pages, malloc_trim(3), and, in a
/// process of one thread, the pages of the stack below the caller. Worth calling before a wait of hours.
pub fn release_free_memory() {
    // SAFETY: only touches the allocator's own state, which it locks itself.
    unsafe {
        libc::malloc_trim(0);
    }
    if thread_count().is_ok_and(|threads| threads == 1) {
        release_stack();
    }
}

/// Bounds how many heaps the allocator keeps for threads (one by default for each thread up to eight times the number of
/// processors): what one of them has freed is then of use to the others. Call it before the first thread is started.
pub fn share_heap(most: i32) {
    // SAFETY: only sets a parameter of the allocator.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, most);
    }
}

/// Lets the allocator give back the end of each heap when more than `free` bytes of it are unused, and map blocks of
/// `mapped` bytes and more on their own. By default both bounds grow with the largest block that was ever freed, and
/// malloc_trim(3) leaves the end of every heap but the first as it is (mallopt(3), M_MMAP_THRESHOLD).
pub fn bound_free_memory(free: i32, mapped: i32) {
    // SAFETY: only sets parameters of the allocator.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, free);
        libc::mallopt(libc::M_MMAP_THRESHOLD, mapped);
    }
}

#[inline(never)]
fn release_stack() {
    let here = 0_u8;
    // Two pages stay: for this frame, and for that of the call below.
    let end = (std::ptr::from_ref(&here).addr() & !(PAGE - 1)) - 2 * PAGE;
    // SAFETY: the range lies below every frame of the only thread, so nothing in it is alive; nothing but the stack can be
    // mapped there (see `STACK`). An unmapped part gives ENOMEM after the mapped part has been dealt with.
    unsafe {
        libc::madvise(
            std::ptr::without_provenance_mut(end - STACK),
            STACK,
            libc::MADV_DONTNEED,
        );
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_large_block_is_mapped_on_its_own_even_after_a_larger_one_was_freed() {
        super::bound_free_memory(256 << 10, 1 << 20);
        drop(std::hint::black_box(vec![1_u8; 16 << 20]));
        let block = std::hint::black_box(vec![1_u8; 4 << 20]);
        // Then it stands behind the two words of its header, at the beginning of a page.
        assert_eq!(block.as_ptr().addr() % super::PAGE, 2 * size_of::<usize>());
    }

    #[test]
    fn what_is_alive_survives() {
        let heap = vec![7_u8; 1 << 16];
        let stack = [9_u8; 4096];
        super::release_stack();
        super::release_free_memory();
        assert!(heap.iter().all(|byte| *byte == 7) && stack.iter().all(|byte| *byte == 9));
    }
}
