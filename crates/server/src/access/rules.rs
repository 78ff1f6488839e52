//! Rules: who may do what to which repositories.

use serde::Deserialize;
use std::fmt;

/// What can be done to a repository, and listing them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Read manifests, blobs, tags and referrers.
    Pull,
    /// Upload blobs and manifests, set tags.
    Push,
    /// Remove tags, manifests and blobs.
    Delete,
    /// List the names of all repositories.
    Catalog,
}

impl Action {
    pub(crate) const ON_REPOSITORY: [Self; 3] = [Self::Pull, Self::Push, Self::Delete];

    /// The word of settings and of token scopes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
            Self::Catalog => "catalog",
        }
    }
}

/// Who is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Nobody said who they are.
    Anonymous,
    /// An account that proved itself, by password or token.
    Account(String),
    /// Whoever reaches a server without accounts, which listens on loopback only; may do all.
    Local,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "anonymous",
            Self::Account(name) => name,
            Self::Local => "local",
        })
    }
}

/// One thing that a request needs leave for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permission<'a> {
    pub(crate) action: Action,
    pub(crate) repository: &'a str,
}

impl<'a> Permission<'a> {
    /// Leave to list all repositories.
    pub const CATALOG: Permission<'static> = Permission {
        action: Action::Catalog,
        repository: "",
    };

    /// Leave to read from a repository.
    pub fn pull(repository: &'a str) -> Self {
        Self {
            action: Action::Pull,
            repository,
        }
    }

    /// Leave to write to a repository.
    pub fn push(repository: &'a str) -> Self {
        Self {
            action: Action::Push,
            repository,
        }
    }

    /// Leave to remove from a repository.
    pub fn delete(repository: &'a str) -> Self {
        Self {
            action: Action::Delete,
            repository,
        }
    }
}

/// Whom a rule is for. In settings: a name, `*` for every account, or `anonymous`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum Subject {
    /// Requests without credentials, and every account as well: who proves more may not do less.
    Anonymous,
    /// Every account.
    AnyAccount,
    /// The account of this name.
    Account(String),
}

impl From<String> for Subject {
    fn from(name: String) -> Self {
        match name.as_str() {
            "anonymous" => Self::Anonymous,
            "*" => Self::AnyAccount,
            _ => Self::Account(name),
        }
    }
}

impl Subject {
    fn includes(&self, who: &Who) -> bool {
        match self {
            Self::Anonymous => true,
            Self::AnyAccount => matches!(who, Who::Account(_)),
            Self::Account(name) => matches!(who, Who::Account(account) if account == name),
        }
    }
}

/// A repository name in which `*` stands for any run of characters, slashes included.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether the whole of `name` fits. Time is bounded by the product of both lengths.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut at, mut on) = (0, 0);
        // Where the last star was, and how much of the name it has taken so far.
        let mut star: Option<(usize, usize)> = None;
        while on < name.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    star = Some((at, on));
                    at += 1;
                }
                Some(byte) if *byte == name[on] => (at, on) = (at + 1, on + 1),
                _ => match &mut star {
                    Some((place, taken)) => {
                        *taken += 1;
                        (at, on) = (*place + 1, *taken);
                    }
                    None => return false,
                },
            }
        }
        pattern[at..].iter().all(|byte| *byte == b'*')
    }
}

impl Default for Pattern {
    fn default() -> Self {
        Self::new("*")
    }
}

/// `[[access.rule]]`: leave given. Nothing takes leave away, so their order does not matter.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// To whom.
    pub who: Subject,
    /// For which repositories; all if left out. Of no account for [`Action::Catalog`].
    #[serde(default)]
    pub repositories: Pattern,
    /// To do what.
    pub actions: Vec<Action>,
}

/// All rules of a server.
#[derive(Clone, Debug)]
pub(crate) struct Rules(Vec<Rule>);

impl Rules {
    /// The given rules, or, where there are none, that every account may pull, push and list;
    /// and with `anonymous_pull` that everybody may pull.
    pub(crate) fn new(given: &[Rule], anonymous_pull: bool) -> Self {
        let rule = |who, actions: &[Action]| Rule {
            who,
            repositories: Pattern::default(),
            actions: actions.to_vec(),
        };
        let mut rules = given.to_vec();
        if rules.is_empty() {
            rules.push(rule(
                Subject::AnyAccount,
                &[Action::Pull, Action::Push, Action::Catalog],
            ));
        }
        if anonymous_pull {
            rules.push(rule(Subject::Anonymous, &[Action::Pull]));
        }
        Self(rules)
    }

    pub(crate) fn allow(&self, who: &Who, permission: Permission<'_>) -> bool {
        let Permission { action, repository } = permission;
        *who == Who::Local
            || self.0.iter().any(|rule| {
                rule.who.includes(who)
                    && rule.actions.contains(&action)
                    && (action == Action::Catalog || rule.repositories.matches(repository))
            })
    }

    /// Whether there is anything at all that may be done without credentials.
    pub(crate) fn anonymous_may_something(&self) -> bool {
        self.0
            .iter()
            .any(|rule| rule.who == Subject::Anonymous && !rule.actions.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        let cases = [
            ("*", "a/b", true),
            ("team/*", "team/model", true),
            ("team/*", "team/a/b", true),
            ("team/*", "team", false),
            ("team/*", "teamx/model", false),
            ("*-dev", "a/b-dev", true),
            ("*-dev", "a/b-dev2", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
            ("", "", true),
            ("", "a", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(Pattern::new(pattern).matches(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_do_not_take_exponential_time() {
        let pattern = Pattern::new("*a".repeat(60) + "b");
        assert!(!pattern.matches(&"a".repeat(255)));
    }

    #[test]
    fn without_rules_accounts_pull_and_push_and_nobody_deletes() {
        let rules = Rules::new(&[], false);
        let ada = Who::Account("ada".into());
        assert!(rules.allow(&ada, Permission::pull("a")));
        assert!(rules.allow(&ada, Permission::push("a")));
        assert!(rules.allow(&ada, Permission::CATALOG));
        assert!(!rules.allow(&ada, Permission::delete("a")));
        assert!(!rules.allow(&Who::Anonymous, Permission::pull("a")));
        assert!(!rules.anonymous_may_something());
    }

    #[test]
    fn anonymous_pull_lets_everybody_pull_and_no_more() {
        let rules = Rules::new(&[], true);
        assert!(rules.allow(&Who::Anonymous, Permission::pull("a")));
        assert!(!rules.allow(&Who::Anonymous, Permission::push("a")));
        assert!(!rules.allow(&Who::Anonymous, Permission::CATALOG));
    }

    #[test]
    fn rules_replace_the_default() {
        let rule = |who: &str, repositories: &str, actions: &[Action]| Rule {
            who: who.to_owned().into(),
            repositories: Pattern::new(repositories),
            actions: actions.to_vec(),
        };
        let rules = Rules::new(
            &[
                rule("*", "*", &[Action::Pull]),
                rule("ada", "team/*", &[Action::Push, Action::Delete]),
            ],
            false,
        );
        let (ada, bob) = (Who::Account("ada".into()), Who::Account("bob".into()));
        assert!(rules.allow(&bob, Permission::pull("x")));
        assert!(!rules.allow(&bob, Permission::push("team/x")));
        assert!(rules.allow(&ada, Permission::push("team/x")));
        assert!(rules.allow(&ada, Permission::delete("team/x")));
        assert!(!rules.allow(&ada, Permission::push("x")));
        assert!(!rules.allow(&ada, Permission::CATALOG));
    }
}
