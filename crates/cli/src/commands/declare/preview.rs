use crate::{
    args::Preview,
    error::{Exit, Failure},
    report::{Answer, json},
    settings::Settings,
};

pub(crate) fn run(arguments: &Preview, settings: &Settings) -> Result<Answer, Failure> {
    let planned = super::planned(settings);
    let (_, plan) = match planned {
        Err(failure) if arguments.detailed_exitcode => {
            return Err(Failure {
                exit: Exit::Failed,
                ..failure
            });
        }
        planned => planned?,
    };
    let mut answer = if arguments.json.json {
        json::answer(&plan)
    } else {
        Answer::done(plan.to_string())
    };
    if !plan.is_empty() && arguments.detailed_exitcode {
        // Terraform's 2, which is ours for wrong usage; with this flag that is 1.
        answer.exit = Exit::Usage;
    }
    if !plan.is_empty() && arguments.expect_no_changes {
        answer.exit = Exit::Pending;
    }
    Ok(answer)
}
