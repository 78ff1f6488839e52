use modelkeep_core::RepoName;
use serde_json::{Value, json};

/// A service of AWS that keeps repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Amazon ECR Public.
    EcrPublic,
    /// Amazon ECR.
    Ecr,
}

/// The least IAM policy with which a pipeline runs `preview`, `up` and `push` for one repository. It lets nobody delete
/// an image or the repository: that is for a person, with other permissions.
#[must_use]
pub fn least_policy(service: Service, name: &RepoName) -> Value {
    let (prefix, declare, publish): (_, &[&str], &[&str]) = match service {
        Service::EcrPublic => (
            "ecr-public",
            &[
                "CreateRepository",
                "DeleteRepositoryPolicy",
                "DescribeImages",
                "DescribeRepositories",
                "GetRepositoryCatalogData",
                "GetRepositoryPolicy",
                "ListTagsForResource",
                "PutRepositoryCatalogData",
                "SetRepositoryPolicy",
                "TagResource",
                "UntagResource",
            ],
            &[
                "BatchCheckLayerAvailability",
                "CompleteLayerUpload",
                "InitiateLayerUpload",
                "PutImage",
                "UploadLayerPart",
            ],
        ),
        Service::Ecr => (
            "ecr",
            &[
                "CreateRepository",
                "DeleteRepositoryPolicy",
                "DescribeRepositories",
                "GetRepositoryPolicy",
                "ListImages",
                "ListTagsForResource",
                "PutImageTagMutability",
                "SetRepositoryPolicy",
                "TagResource",
                "UntagResource",
            ],
            &[
                "BatchCheckLayerAvailability",
                "BatchGetImage",
                "CompleteLayerUpload",
                "GetDownloadUrlForLayer",
                "InitiateLayerUpload",
                "PutImage",
                "UploadLayerPart",
            ],
        ),
    };
    // A repository of ECR Public has no region; any account, because the policy is attached in the right one.
    let region = match service {
        Service::EcrPublic => "",
        Service::Ecr => "*",
    };
    let repository = format!("arn:aws:{prefix}:{region}:*:repository/{name}");
    let actions =
        |names: &[&str]| -> Vec<String> { names.iter().map(|name| format!("{prefix}:{name}")).collect() };
    let mut login = actions(&["GetAuthorizationToken"]);
    if service == Service::EcrPublic {
        login.push("sts:GetServiceBearerToken".to_owned());
    }
    let statement = |sid: &str, actions: Vec<String>, resource: &str| json!({"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource});
    json!({
        "Version": "2012-10-17",
        "Statement": [
            statement("LogIn", login, "*"),
            statement("DeclareTheRepository", actions(declare), &repository),
            statement("PublishVersions", actions(publish), &repository),
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_may_delete() {
        for service in [Service::EcrPublic, Service::Ecr] {
            let policy = least_policy(service, &"team/digits".parse().unwrap()).to_string();
            assert!(policy.contains(":repository/team/digits\""), "{policy}");
            for action in ["DeleteImage", "DeleteRepository\"", ":*\""] {
                assert!(!policy.contains(action), "{policy}");
            }
        }
    }
}
