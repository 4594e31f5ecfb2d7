//! The smallest media worker: what `stockpot __media-worker` does, for the tests of this crate.

fn main() {
    let mut args = std::env::args_os().skip(1);
    if args
        .next()
        .is_some_and(|first| first == stockpot_media::worker::SUBCOMMAND)
    {
        std::process::exit(stockpot_media::worker::main(args));
    }
    eprintln!("This program is started by the tests of stockpot-media");
    std::process::exit(2);
}
