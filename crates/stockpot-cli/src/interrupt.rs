//! Ctrl-C: the first asks the job to stop at its next step or frame, the second ends the program.

use std::sync::atomic::{AtomicBool, Ordering};

use stockpot_core::CancelToken;

use crate::console::Console;

/// What a shell reports for a program that the user stopped.
pub(crate) const STOPPED: u8 = 130;

/// Lets Ctrl-C cancel `token`. Where no handler can be installed the system's own way of stopping
/// stays, and a warning says so.
pub(crate) fn cancel_on_interrupt(token: &CancelToken, console: &Console) {
    let token = token.clone();
    let asked = AtomicBool::new(false);
    let noting = console.clone();
    let installed = ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(STOPPED));
        }
        token.cancel();
        noting.remark("Stopping; press Ctrl-C again to stop at once");
    });
    if let Err(e) = installed {
        console.warning(&format!("Ctrl-C will not save anything: {e}"));
    }
}

/// For the media worker: a terminal sends Ctrl-C to the worker too, but when it ends is for its
/// parent to say.
pub(crate) fn leave_interrupts_to_parent() {
    // Without a handler the worker merely ends at once, which its parent reports as an error.
    let _ = ctrlc::set_handler(|| {});
}
