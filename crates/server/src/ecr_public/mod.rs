//! The API of Amazon ECR Public (2020-10-30) on the store that `/v2/` serves: AWS JSON 1.1 over `POST /`, an operation
//! by `X-Amz-Target`, each request signed. `docs/reference/ecr-public.md` says what is implemented, and where it
//! differs.
//!
//! A call is read by its head, then its body is hashed, then whoever signed both is known; only then is the body looked
//! at. Each operation asks the rules of [`access`](crate::access) before it does anything, and what it does is what the
//! other protocol would do: one ledger, one set of uploads, one place for descriptions.

mod authorization;
mod catalog_data;
mod check;
mod delete_images;
mod error;
mod images;
mod layers;
mod operation;
mod page;
mod part;
mod payload;
mod policies;
mod put_image;
mod registries;
mod repositories;
mod resource_tags;

pub(crate) use catalog_data::logo;
pub(crate) use error::ApiError;
pub(crate) use operation::Operation;

use modelkeep_core::RepoName;
use modelkeep_store::Repository;
use serde::{Serialize, de::DeserializeOwned};

use payload::{Parsed, Payload};

use crate::{
    access::{Permission, Signer},
    http::{ReplyBody, Response, Status},
    registry::{Exchange, Registry},
    reply::chain,
};

const AMZ_JSON: &str = "application/x-amz-json-1.1";
/// The one region of ECR Public.
const REGION: &str = "us-east-1";

/// One call of an operation by somebody who signed it.
pub(crate) struct Call<'e, 'r, 'c> {
    exchange: &'e mut Exchange<'r, 'c>,
    operation: Operation,
    payload: Payload<'r>,
    signer: Signer,
}

/// Answers `POST /`.
pub(crate) fn answer(exchange: &mut Exchange<'_, '_>) -> Result<Response, ApiError> {
    let operation = Operation::of(exchange.request)?;
    exchange.registry.access.expect_signed(exchange.request)?;
    let payload = Payload::receive(exchange, operation.most_bytes())?;
    let signer = exchange
        .registry
        .access
        .signer(exchange.request, &payload.digest)?;
    exchange.is(signer.who.clone());
    if signer.region != REGION {
        let message = format!("{} command is only supported in {REGION}.", operation.as_str());
        return Err(ApiError::new("UnsupportedCommandException", message));
    }
    let mut call = Call {
        exchange,
        operation,
        payload,
        signer,
    };
    let json = operation.perform(&mut call)?;
    Ok(Response::new(Status::OK)
        .field("Content-Type", AMZ_JSON)
        .body(ReplyBody::Owned(json)))
}

impl<'r> Call<'_, 'r, '_> {
    fn registry(&self) -> &'r Registry {
        self.exchange.registry
    }

    /// The 12 digits of this registry.
    fn registry_id(&self) -> &'r str {
        self.registry().config.ecr_public.registry_id.as_str()
    }

    fn input<T: DeserializeOwned>(&self) -> Result<Parsed<'r, T>, ApiError> {
        self.payload.parse(self.registry())
    }

    /// Goes on only if whoever signed may do this.
    fn allow(&self, permission: Permission<'_>) -> Result<(), ApiError> {
        if self.registry().access.may(&self.signer.who, permission) {
            return Ok(());
        }
        let (who, operation) = (&self.signer.who, self.operation.as_str());
        let message = format!("User: {who} is not authorized to perform: ecr-public:{operation}");
        Err(ApiError::new("AccessDeniedException", message))
    }

    /// A repository that is there, in the registry that the call names.
    fn repository(&self, registry: Option<&str>, name: &RepoName) -> Result<Repository, ApiError> {
        let found = match registry {
            Some(id) if id != self.registry_id() => None,
            _ => self.registry().store.repository(name)?,
        };
        found.ok_or_else(|| self.no_repository(registry, name))
    }

    fn no_repository(&self, registry: Option<&str>, name: &RepoName) -> ApiError {
        let id = registry.unwrap_or(self.registry_id());
        let message =
            format!("The repository with name '{name}' does not exist in the registry with id '{id}'");
        ApiError::new("RepositoryNotFoundException", message)
    }

    /// Where clients reach this server, as docker writes it: HOST or HOST:PORT.
    fn host(&self) -> String {
        let host = self.registry().access.host(self.exchange.request);
        host.unwrap_or_else(|| self.registry().config.listen.to_string())
    }

    fn repository_arn(&self, name: &RepoName) -> String {
        format!("arn:aws:ecr-public::{}:repository/{name}", self.registry_id())
    }
}

/// The JSON of an answer.
fn json(answer: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(answer).expect("texts, numbers and maps with text keys become JSON")
}

/// A time of the store, RFC 3339, as the protocol has it: Unix seconds.
fn epoch_seconds(time: &str) -> Result<i64, ApiError> {
    let parsed: Result<jiff::Timestamp, _> = time.parse();
    match parsed {
        Ok(time) => Ok(time.as_second()),
        Err(error) => Err(crate::reply::Fault::internal(format!("{time:?}: {}", chain(&error))).into()),
    }
}
