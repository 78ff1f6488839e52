use modelkeep_provision::{Service, least_policy};

use crate::{
    error::{Exit, Failure, Unknown},
    report::Answer,
    settings::{Registry, Settings},
};

pub(crate) fn run(settings: &Settings) -> Result<Answer, Failure> {
    let service = match &settings.registry.value {
        Registry::EcrPublic => Service::EcrPublic,
        Registry::Ecr => Service::Ecr,
        registry => {
            return Err(Failure::new(Exit::Usage, Unknown::Policy(registry.clone()))
                .hint("policies are for `registry = \"ecr-public\"` and `registry = \"ecr\"`"));
        }
    };
    let policy = least_policy(service, settings.repository_name()?);
    Ok(Answer::done(format!("{policy:#}\n")))
}
