//! Arguments and exit status only: everything else is in the library.

use std::process::ExitCode;

// Stored responses and connections come and go on all threads at once; the system's allocator would hold on to far more.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    bookend::cli::main(std::env::args_os()).into()
}
