//! Keys that have been renamed. The former name of each goes on working as an alias, which `bookend check` mentions.

/// Name of the table, former name, name.
pub const RENAMED: [(&str, &str, &str); 2] = [
    ("ejection", "slow_return", "slow_start"),
    ("rate_limit", "tell", "send_fields"),
];

/// The former names that `key` of the section with this title has had. The last part of the title names the table: the same
/// keys are read for the server and for a route.
pub fn former_names(title: &str, key: &str) -> impl Iterator<Item = &'static str> {
    let path = title.trim_matches(['[', ']']);
    let table = path.rsplit_once('.').map_or(path, |(_, table)| table);
    let renamed = RENAMED.into_iter();
    renamed.filter_map(move |(of, former, name)| (of == table && name == key).then_some(former))
}
