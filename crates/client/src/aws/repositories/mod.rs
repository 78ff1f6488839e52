//! Declared repositories in ECR Public and in private ECR.

mod api;
mod private;
mod public;
mod refused;

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use api::Api;
use aws_config::Region;
use modelkeep_core::{
    Mutability, RepoName,
    repositories::{self, Change, Description, Enforcement, Observed, Powers, Result},
};
use public::Public;
use refused::{is, refused};

use super::{
    AwsOptions, Error,
    session::{PUBLIC_REGION, Session},
    transport::Transport,
};

/// How long AWS may take until everybody sees what was made, and how long is waited before looking again.
const SETTLES: Duration = Duration::from_secs(60);
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(4);

/// The repositories of an AWS account: of its ECR Public, or of its ECR in a region.
#[derive(Debug)]
pub struct Repositories {
    session: Session,
    service: Service,
    powers: Powers,
    /// What was made here lately: until AWS has told all its parts, some say that it is not there.
    made: Mutex<HashMap<RepoName, Instant>>,
}

#[derive(Debug)]
enum Service {
    Ecr(aws_sdk_ecr::Client),
    Public(Public),
}

/// Waits for what the function does with the API of the service, whichever it is.
macro_rules! with_api {
    ($repositories:expr, $api:ident => $work:expr) => {
        match &$repositories.service {
            Service::Ecr($api) => $repositories.session.wait($work),
            Service::Public($api) => $repositories.session.wait($work),
        }
    };
}

impl Repositories {
    /// Those of private ECR, in the region that the options name, or the environment, or the profile, or the machine.
    ///
    /// # Errors
    /// When no region is named, or what the environment says cannot be used. Credentials are looked for later.
    pub fn ecr(options: &AwsOptions) -> Result<Self> {
        let mut powers = Powers::ecr();
        let open = || {
            let session = Session::open(options, transport(options)?)?;
            match session.config.region() {
                Some(_) => Ok(session),
                None => Err(Error::NoRegion),
            }
        };
        let session = open().map_err(|error| refused(&powers, None, error))?;
        // Another region is another registry, and a repository that is not found may be in it.
        if let Some(region) = session.config.region() {
            powers.registry = format!("{} {region}", powers.registry);
        }
        let client = aws_sdk_ecr::Client::new(&session.config);
        Ok(Self::new(session, Service::Ecr(client), powers))
    }

    /// Those of ECR Public, which is in one region for all the world. At another address than AWS's own, the registry is
    /// asked whether it keeps tags from moving, as `modelkeep serve` does.
    ///
    /// # Errors
    /// When what the environment says cannot be used, or that other registry does not answer.
    pub fn ecr_public(options: &AwsOptions) -> Result<Self> {
        let mut powers = Powers::ecr_public();
        let options = AwsOptions {
            region: Some(PUBLIC_REGION.to_owned()),
            ..options.clone()
        };
        let open = || {
            let session = Session::open(&options, transport(&options)?)?;
            let client = aws_sdk_ecrpublic::Client::new(&session.config);
            let keeps_tags = session.has_endpoint("AWS_ENDPOINT_URL_ECR_PUBLIC")
                && session.wait(Public::enforces_mutability(&client))?;
            Ok((session, Public { client, keeps_tags }))
        };
        let (session, service) = open().map_err(|error| refused(&powers, None, error))?;
        if service.keeps_tags {
            powers.enforcement = Enforcement::Registry;
        }
        Ok(Self::new(session, Service::Public(service), powers))
    }

    fn new(session: Session, service: Service, powers: Powers) -> Self {
        Self {
            session,
            service,
            powers,
            made: Mutex::default(),
        }
    }

    /// The region that is asked.
    #[must_use]
    pub fn region(&self) -> &str {
        self.session.config.region().map_or(PUBLIC_REGION, Region::as_ref)
    }

    /// Makes a repository, waits until it is seen, and gives it its policy.
    async fn create(&self, api: &impl Api, name: &RepoName, description: &Description) -> api::Result<()> {
        let text = name.as_str();
        api.create(
            text,
            &description.mutability,
            &description.catalog,
            &description.resource_tags,
        )
        .await?;
        self.made().insert(name.clone(), Instant::now());
        self.settled(name, || api.describe(text)).await?;
        if let Some(policy) = &description.policy {
            self.settled(name, || api.set_policy(text, policy)).await?;
        }
        Ok(())
    }

    async fn change(&self, api: &impl Api, name: &RepoName, change: &Change) -> api::Result<()> {
        let text = name.as_str();
        match change {
            Change::Create(description) => self.create(api, name, description).await,
            Change::SetMutability(mutability) => {
                self.settled(name, || api.put_mutability(text, mutability)).await
            }
            Change::PutCatalog(catalog) => self.settled(name, || api.put_catalog(text, catalog)).await,
            Change::Tag(tags) => {
                let arn = self.settled(name, || api.describe(text)).await?.arn;
                self.settled(name, || api.tag(&arn, tags)).await
            }
            Change::Untag(keys) => {
                let arn = self.settled(name, || api.describe(text)).await?.arn;
                let keys: Vec<String> = keys.iter().cloned().collect();
                self.settled(name, || api.untag(&arn, keys.clone())).await
            }
            Change::SetPolicy(policy) => self.settled(name, || api.set_policy(text, policy)).await,
            Change::DeletePolicy => match self.settled(name, || api.delete_policy(text)).await {
                Err(error) if is(&error, "RepositoryPolicyNotFound") => Ok(()),
                done => done,
            },
            Change::Delete(deletion) => {
                self.settled(name, || api.delete(text, *deletion)).await?;
                self.made().remove(name);
                self.gone(api, text).await
            }
        }
    }

    /// The answer, asked for again while AWS does not know yet what was made here a moment ago.
    async fn settled<T, F>(&self, name: &RepoName, ask: impl Fn() -> F) -> api::Result<T>
    where
        F: Future<Output = api::Result<T>>,
    {
        let mut wait = FIRST_WAIT;
        loop {
            let answer = ask().await;
            let young = || self.made().get(name).is_some_and(|made| made.elapsed() < SETTLES);
            match &answer {
                Err(error) if is(error, "RepositoryNotFound") && young() => {}
                _ => return answer,
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Waits until nobody sees the repository any more.
    async fn gone(&self, api: &impl Api, name: &str) -> api::Result<()> {
        let begun = Instant::now();
        let mut wait = FIRST_WAIT;
        loop {
            match api.describe(name).await {
                Err(error) if is(&error, "RepositoryNotFound") => return Ok(()),
                Ok(_) if begun.elapsed() < SETTLES => {}
                answer => return answer.map(|_| ()),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    fn made(&self) -> std::sync::MutexGuard<'_, HashMap<RepoName, Instant>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the registry takes the change, as far as is known without asking.
    fn check(&self, name: &RepoName, change: &Change) -> Result<()> {
        match change {
            Change::Create(description) => self.powers.check(name, description)?,
            Change::SetMutability(_) if self.powers.enforcement == Enforcement::Client => {
                return Err(repositories::Error::Unsupported {
                    registry: self.powers.registry.clone(),
                    what: "keep tags from moving".to_owned(),
                });
            }
            Change::SetMutability(mutability) => self.powers.check_mutability(mutability)?,
            Change::PutCatalog(catalog) => self.powers.check_catalog(catalog)?,
            Change::SetPolicy(policy) => self.powers.check_policy(policy)?,
            Change::Tag(tags) => self.powers.check_resource_tags(tags.iter())?,
            Change::Untag(_) | Change::DeletePolicy | Change::Delete(_) => {}
        }
        Ok(())
    }
}

/// What the repository is now.
async fn look(api: &impl Api, name: &RepoName, powers: &Powers) -> api::Result<Observed> {
    let text = name.as_str();
    let found = api.describe(text).await?;
    let resource_tags = api.tags(&found.arn).await?;
    let catalog = match api.catalog(text).await {
        Err(error) if is(&error, "RepositoryCatalogDataNotFound") => Default::default(),
        answer => answer?,
    };
    let policy = match api.policy(text).await {
        Err(error) if is(&error, "RepositoryPolicyNotFound") => None,
        answer => Some(answer?),
    };
    Ok(Observed {
        name: name.clone(),
        uri: found.uri,
        arn: Some(found.arn),
        registry_id: found.registry_id,
        created_at: found.created_at,
        enforcement: powers.enforcement,
        images: api.images(text).await?,
        description: Description {
            mutability: match powers.enforcement {
                Enforcement::Registry => found.mutability.unwrap_or(Mutability::Mutable),
                Enforcement::Client => Mutability::Mutable,
            },
            catalog,
            resource_tags,
            policy,
        },
    })
}

fn transport(options: &AwsOptions) -> api::Result<Transport> {
    let variable = |name: &str| std::env::var(name).ok();
    Transport::new(options.ca.clone(), &variable).map_err(|error| Error::Setup {
        reason: error.to_string(),
    })
}

impl repositories::Repositories for Repositories {
    fn powers(&self) -> Powers {
        self.powers.clone()
    }

    fn observe(&self, name: &RepoName) -> Result<Option<Observed>> {
        let found = with_api!(self, api => self.settled(name, || look(api, name, &self.powers)));
        match found {
            Ok(observed) => Ok(Some(observed)),
            Err(error) if is(&error, "RepositoryNotFound") => Ok(None),
            Err(error) => Err(refused(&self.powers, Some(name), error)),
        }
    }

    fn apply(&self, name: &RepoName, change: &Change) -> Result<()> {
        self.check(name, change)?;
        let done = with_api!(self, api => self.change(api, name, change));
        done.map_err(|error| refused(&self.powers, Some(name), error))
    }
}
