//! Keys that have been renamed. The former name of each goes on working as an alias, which `bookend check` mentions.

/// Title of the section, former name, name.
pub const RENAMED: [(&str, &str, &str); 1] = [("[upstream.ejection]", "slow_return", "slow_start")];

/// The former names that `key` of the section with this title has had.
pub fn former_names(title: &str, key: &str) -> impl Iterator<Item = &'static str> {
    let renamed = RENAMED.into_iter();
    renamed.filter_map(move |(section, former, name)| {
        (section == title && name == key).then_some(former)
    })
}
