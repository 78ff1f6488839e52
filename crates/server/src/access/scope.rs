//! What a token is for: `repository:<name>:<actions>` and `registry:catalog:*`.

use super::rules::{Action, Permission, Rules, Who};
use std::fmt;

/// Scopes of one token request; more are refused.
pub(crate) const MOST: usize = 64;

/// One scope of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Repository { name: String, actions: Vec<Action> },
    Catalog,
}

impl Scope {
    /// `None` for what this server has no use for: other kinds, impossible names.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        let (name, words) = rest.rsplit_once(':')?;
        match kind {
            "repository" if is_name(name) => {
                let asked = |action: Action| {
                    words
                        .split(',')
                        .any(|word| word == "*" || word == action.as_str())
                };
                let actions = Action::ON_REPOSITORY
                    .into_iter()
                    .filter(|action| asked(*action))
                    .collect();
                Some(Self::Repository {
                    name: name.to_owned(),
                    actions,
                })
            }
            "registry" if name == "catalog" => Some(Self::Catalog),
            _ => None,
        }
    }

    /// Less than was asked for, as far as the rules have it. `None`: nothing is left.
    pub(crate) fn cut(self, who: &Who, rules: &Rules) -> Option<Self> {
        match self {
            Self::Catalog => rules.allow(who, Permission::CATALOG).then_some(Self::Catalog),
            Self::Repository { name, mut actions } => {
                actions.retain(|action| {
                    rules.allow(
                        who,
                        Permission {
                            action: *action,
                            repository: &name,
                        },
                    )
                });
                (!actions.is_empty()).then_some(Self::Repository { name, actions })
            }
        }
    }

    pub(crate) fn grants(&self, permission: Permission<'_>) -> bool {
        match self {
            Self::Catalog => permission == Permission::CATALOG,
            Self::Repository { name, actions } => {
                permission.repository == name && actions.contains(&permission.action)
            }
        }
    }

    /// What a client must ask for to be allowed all of `permissions`. Who may push is to pull as well:
    /// clients look whether a blob is there before they send it.
    pub(crate) fn needed(permissions: &[Permission<'_>]) -> Vec<Self> {
        let mut scopes: Vec<Self> = Vec::new();
        for Permission { action, repository } in permissions {
            if *action == Action::Catalog {
                scopes.push(Self::Catalog);
                continue;
            }
            let wanted = match action {
                Action::Push => vec![Action::Pull, Action::Push],
                other => vec![*other],
            };
            let same = scopes.iter_mut().find_map(|scope| match scope {
                Self::Repository { name, actions } if name == repository => Some(actions),
                _ => None,
            });
            match same {
                Some(actions) => {
                    actions.extend(wanted);
                    let all = std::mem::take(actions);
                    *actions = Action::ON_REPOSITORY
                        .into_iter()
                        .filter(|action| all.contains(action))
                        .collect();
                }
                None => scopes.push(Self::Repository {
                    name: (*repository).to_owned(),
                    actions: wanted,
                }),
            }
        }
        scopes
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Catalog => f.write_str("registry:catalog:*"),
            Self::Repository { name, actions } => {
                let words: Vec<_> = actions.iter().map(|action| action.as_str()).collect();
                write!(f, "repository:{name}:{}", words.join(","))
            }
        }
    }
}

/// Wider than the grammar of names, and narrow enough for a quoted string.
fn is_name(name: &str) -> bool {
    let byte = |byte: u8| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte);
    !name.is_empty() && name.len() <= 255 && name.bytes().all(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_read_what_they_print() {
        for text in [
            "repository:a/b:pull,push",
            "repository:a:pull",
            "repository:a:delete",
            "registry:catalog:*",
        ] {
            assert_eq!(Scope::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(
            Scope::parse("repository:a:*").unwrap().to_string(),
            "repository:a:pull,push,delete"
        );
        for useless in [
            "",
            "repository",
            "repository:a",
            "repository::pull",
            "x:a:pull",
            "repository:a\"b:pull",
        ] {
            assert_eq!(Scope::parse(useless), None, "{useless}");
        }
    }

    #[test]
    fn a_challenge_names_each_repository_once() {
        let needed = Scope::needed(&[
            Permission::push("a"),
            Permission::pull("b"),
            Permission::pull("a"),
        ]);
        let words: Vec<_> = needed.iter().map(ToString::to_string).collect();
        assert_eq!(words, ["repository:a:pull,push", "repository:b:pull"]);
    }
}
