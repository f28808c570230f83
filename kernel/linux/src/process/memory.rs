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

/// Lets go of the pages of the program that this process has mapped: its code and constants, which stay in the page cache and
/// are mapped again, sixteen at a time, when they are next used (a microsecond or two for each sixteen). The kernel counts
/// what is mapped as used and takes it last when memory is short. Worth calling before a wait of unknown length.
pub fn release_program() {
    for segment in constant_segments() {
        // SAFETY: the segment is a private mapping of the program's file that nobody could ever write to (elf(5): no PF_W;
        // what the linker relocates lies in another), so that what is dropped is what comes back from the file.
        unsafe {
            libc::madvise(
                std::ptr::without_provenance_mut(segment.start),
                segment.len(),
                libc::MADV_DONTNEED,
            );
        }
    }
}

/// Where the segments of the program's own file lie that are never written to, in whole pages.
fn constant_segments() -> Vec<std::ops::Range<usize>> {
    unsafe extern "C" fn first(
        object: *mut libc::dl_phdr_info,
        _: libc::size_t,
        found: *mut libc::c_void,
    ) -> libc::c_int {
        // SAFETY: dl_iterate_phdr(3) gives a valid object, and passes on what it was given.
        let (object, found) = unsafe { (&*object, &mut *found.cast::<Vec<std::ops::Range<usize>>>()) };
        // SAFETY: the object's own table, of the length that it says.
        let headers = unsafe { std::slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum)) };
        let constant = headers
            .iter()
            .filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0);
        found.extend(constant.filter_map(|header| {
            let start = usize::try_from(object.dlpi_addr + header.p_vaddr).ok()?;
            let end = start.checked_add(usize::try_from(header.p_memsz).ok()?)?;
            // The last page belongs to this segment alone: the next one begins on another.
            Some(start & !(PAGE - 1)..end.next_multiple_of(PAGE))
        }));
        // The first object is the program itself; 1 ends the walk.
        1
    }
    let mut found = Vec::new();
    // SAFETY: the callback is as dl_iterate_phdr(3) wants it, and `found` outlives the call.
    unsafe {
        libc::dl_iterate_phdr(Some(first), std::ptr::from_mut(&mut found).cast());
    }
    found
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

    /// Pages of a range that this process has mapped, as /proc/self/smaps counts them, in kilobytes.
    fn mapped(range: &std::ops::Range<usize>) -> usize {
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut lines = smaps.lines();
        let start = format!("{:x}-", range.start);
        lines
            .find(|line| line.starts_with(&start))
            .expect("a mapping of the segment");
        let rss = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
        rss.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[test]
    fn a_program_that_let_go_of_its_pages_goes_on_with_fewer() {
        let segments = super::constant_segments();
        assert!(!segments.is_empty());
        let code = segments.iter().max_by_key(|segment| segment.len()).unwrap();
        let sum = || -> u64 {
            let pages = code.clone().step_by(super::PAGE);
            // SAFETY: an address in a segment that is mapped readable as long as the program runs.
            pages
                .map(|page| unsafe {
                    u64::from(std::ptr::with_exposed_provenance::<u8>(page).read_volatile())
                })
                .sum()
        };
        let content = sum();
        let all = mapped(code);
        super::release_program();
        assert!(mapped(code) < all, "{all} kB are still mapped");
        assert_eq!(sum(), content);
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
