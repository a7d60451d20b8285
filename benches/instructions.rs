//! `instructions NAME TURNS`: that many turns of sixteen requests, to be run under callgrind by
//! `benches/count-instructions`. Without arguments, one turn of each.

mod common;

fn main() {
    let mut args = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"));
    let (wanted, turns) = (args.next(), args.next());
    let turns: usize = turns.map_or(1, |turns| turns.parse().expect("a number of turns"));
    let gateway = common::Gateway::start();
    for (name, request) in common::requests() {
        if wanted.as_deref().is_none_or(|wanted| wanted == name) {
            let mut clients = gateway.clients(16, &request);
            (0..turns).for_each(|_| clients.turn());
            println!("{name}: {turns} turns");
        }
    }
}
