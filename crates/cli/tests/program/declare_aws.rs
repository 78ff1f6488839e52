//! What a registry of AWS answers, and what is then said to do.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
};

use serde_json::{Value, json};

use crate::harness::{Home, Run};

/// What an operation is answered with: the members of a success, or the name of an error and its message.
type Answer = Result<Value, (&'static str, &'static str)>;

/// Answers private ECR's API until the test ends, and gives its address.
fn ecr(answer: impl Fn(&str) -> Answer + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    // It ends with the process: nothing else tells it that nobody asks any more.
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            // A client that went away is none of its business.
            let _ = connection.and_then(|connection| one(connection, &answer));
        }
    });
    address
}

fn one(mut connection: TcpStream, answer: &impl Fn(&str) -> Answer) -> std::io::Result<()> {
    let mut lines = BufReader::new(connection.try_clone()?);
    let (mut operation, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        lines.read_line(&mut line)?;
        let line = line.trim_end();
        match line.split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("x-amz-target") => {
                operation = value.rsplit('.').next().unwrap_or_default().to_owned();
            }
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().unwrap_or(0);
            }
            _ if line.is_empty() => break,
            _ => {}
        }
    }
    lines.take(length).read_to_end(&mut Vec::new())?;
    let (status, body) = match answer(&operation) {
        Ok(body) => ("200 OK", body),
        Err((name, message)) => ("400 Bad Request", json!({"__type": name, "message": message})),
    };
    let body = body.to_string();
    write!(
        connection,
        "HTTP/1.1 {status}\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Runs a command with a key, where ECR is at `address`.
fn run(address: &str, arguments: &[&str]) -> Run {
    let home = Home::new();
    home.write(
        "modelkeep.toml",
        "[repository]\nname = \"digits\"\nregistry = \"ecr\"\n",
    );
    let mut command = home.command(&[arguments, &["--endpoint-url", address]].concat());
    command
        .env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_REGION", "eu-central-1");
    command.output().unwrap().into()
}

const MISSING: Answer = Err(("RepositoryNotFoundException", "it does not exist"));

#[test]
fn each_refusal_of_aws_has_its_exit_code_and_its_hint() {
    for (name, message, code, text, hint) in [
        (
            "ExpiredTokenException",
            "The security token included in the request is expired",
            3,
            "have expired",
            "aws sso login",
        ),
        (
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
            3,
            "does not accept the credentials",
            "AWS_PROFILE",
        ),
        (
            "AccessDeniedException",
            "User: ci is not authorized to perform: ecr:DescribeRepositories",
            3,
            "ecr:DescribeRepositories is not allowed",
            "hint: allow ecr:DescribeRepositories; `modelkeep policy`",
        ),
    ] {
        let run = run(&ecr(move |_| Err((name, message))), &["preview"]);
        assert_eq!(run.code, code, "{}", run.stderr);
        assert!(run.stderr.contains(text), "{}", run.stderr);
        assert!(run.stderr.contains(hint), "{}", run.stderr);
    }
}

#[test]
fn a_quota_that_is_used_up_is_said_after_the_plan() {
    let address = ecr(|operation| match operation {
        "CreateRepository" => Err(("LimitExceededException", "100,000 repositories are the most")),
        _ => MISSING,
    });
    let run = run(&address, &["up", "--yes"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(
        run.stderr.contains("+ create digits in ECR eu-central-1"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr
            .contains("a limit of ECR eu-central-1 is reached: 100,000"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("Service Quotas"), "{}", run.stderr);
}

#[test]
fn a_name_that_somebody_takes_between_preview_and_apply_is_not_taken_over() {
    let address = ecr(|operation| match operation {
        "CreateRepository" => Err(("RepositoryAlreadyExistsException", "it exists")),
        _ => MISSING,
    });
    let run = run(&address, &["up", "--yes"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(
        run.stderr.contains("has changed since the plan was made"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("modelkeep preview"), "{}", run.stderr);
}

#[test]
fn a_region_where_nothing_is_makes_a_plan_of_its_own() {
    let run = run(&ecr(|_| MISSING), &["preview"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stdout.starts_with("+ create digits in ECR eu-central-1\n"),
        "{}",
        run.stdout
    );
    assert!(run.stdout.ends_with("enforced by: registry\n"), "{}", run.stdout);

    let home = Home::new();
    home.write(
        "modelkeep.toml",
        "[repository]\nname = \"digits\"\nregistry = \"ecr\"\n",
    );
    let run = home.run(&["preview"]);
    assert_ne!(run.code, 0);
    assert!(run.stderr.contains("AWS_REGION"), "{}", run.stderr);
}
