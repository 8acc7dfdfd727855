//! A canister's interface, parsed once and shared by every call.
//!
//! The Candid library's own types are bound to one thread. [`Interface`] holds the same types in a form that can
//! be shared; a call turns back only the types that its own method reaches.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use candid::types::{Field, FuncMode, Function, Label, Type, TypeEnv, TypeInner};
use candid_parser::IDLProg;

use super::{
    guard::{GuardError, Guarded, guard},
    stack::{self, Panicked},
};
use crate::nearest::nearest;

/// A parsed interface.
#[derive(Debug)]
pub struct Interface {
    text: Arc<str>,
    pub(super) methods: BTreeMap<String, Method>,
    pub(super) named: Vec<(String, Ty)>,
    weight: usize,
}

/// One method of an interface.
#[derive(Debug)]
pub struct Method {
    /// How it may be called.
    pub mode: Mode,
    pub(super) args: Vec<Ty>,
    pub(super) rets: Vec<Ty>,
}

/// How a method may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// By an update call only.
    Update,
    /// By a query, or by an update call when the caller wants a certified answer.
    Query,
    /// By a query only.
    CompositeQuery,
    /// By an update call that has no reply.
    Oneway,
}

/// Why an interface cannot be used for types.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InterfaceError {
    /// It breaks a limit.
    #[error(transparent)]
    Limit(#[from] GuardError),
    /// It is not Candid, or it declares no service.
    #[error("it is not a Candid interface: {0}")]
    Invalid(String),
    /// The Candid library failed on it.
    #[error(transparent)]
    Panicked(#[from] Panicked),
}

/// Types of a list of values, in the form the Candid library works with. Bound to one thread.
#[derive(Debug, Default)]
pub struct Types {
    /// The named types that the list reaches.
    pub env: TypeEnv,
    /// One per value.
    pub list: Vec<Type>,
}

impl Interface {
    /// Parses and checks an interface, on a large stack.
    ///
    /// # Errors
    /// See [`InterfaceError`].
    pub async fn parse(text: Arc<str>) -> Result<Interface, InterfaceError> {
        let guarded = guard(&text)?.into_owned();
        stack::large(move || Interface::of(text, &guarded)).await?
    }

    fn of(text: Arc<str>, guarded: &Guarded<'_>) -> Result<Interface, InterfaceError> {
        let invalid =
            |error: candid_parser::Error| InterfaceError::Invalid(super::describe(&error));
        let program: IDLProg = guarded.as_str().parse().map_err(invalid)?;
        let mut env = TypeEnv::new();
        let actor = candid_parser::check_prog(&mut env, &program)
            .map_err(invalid)?
            .ok_or_else(|| InterfaceError::Invalid("it declares no service".to_owned()))?;
        let invalid = |error: candid::Error| InterfaceError::Invalid(error.to_string());
        let index: BTreeMap<&str, u32> = env.0.keys().map(String::as_str).zip(0..).collect();
        let mut methods = BTreeMap::new();
        for (name, ty) in env.as_service(&actor).map_err(invalid)? {
            let function = env.as_func(ty).map_err(invalid)?;
            methods.insert(name.clone(), Method::of(function, &index));
        }
        let named = env
            .0
            .iter()
            .map(|(name, ty)| (name.clone(), Ty::of(ty, &index)))
            .collect();
        let mut interface = Interface {
            text,
            methods,
            named,
            weight: 0,
        };
        interface.weight = interface.weigh();
        Ok(interface)
    }

    /// Bytes of memory that it occupies, never less than it really does.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// The text it was parsed from, comments included.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// A method by its name.
    pub fn method(&self, name: &str) -> Option<&Method> {
        self.methods.get(name)
    }

    /// Every method's name, in order.
    pub fn method_names(&self) -> impl Iterator<Item = &str> {
        self.methods.keys().map(String::as_str)
    }

    /// Types of a method's arguments.
    pub fn argument_types(&self, method: &Method) -> Types {
        self.types(&method.args)
    }

    /// Types of a method's reply.
    pub fn reply_types(&self, method: &Method) -> Types {
        self.types(&method.rets)
    }

    /// The method whose name is most like `name`, when one is like it at all. Of an interface with very many
    /// methods only the first of about that length are compared: a caller waits for this.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        nearest(name, self.method_names())
    }

    fn types(&self, list: &[Ty]) -> Types {
        let mut reached = Reached {
            interface: self,
            waiting: Vec::new(),
            seen: BTreeSet::new(),
        };
        let list = list.iter().map(|ty| ty.build(&mut reached)).collect();
        let mut env = TypeEnv::new();
        while let Some(number) = reached.waiting.pop() {
            if let Some((name, ty)) = self.named.get(number as usize) {
                let ty = ty.build(&mut reached);
                env.0.insert(name.clone(), ty);
            }
        }
        Types { env, list }
    }
}

impl Method {
    fn of(function: &Function, index: &BTreeMap<&str, u32>) -> Method {
        let types = |types: &[Type]| types.iter().map(|ty| Ty::of(ty, index)).collect();
        Method {
            mode: match function.modes.first() {
                None => Mode::Update,
                Some(FuncMode::Query) => Mode::Query,
                Some(FuncMode::CompositeQuery) => Mode::CompositeQuery,
                Some(FuncMode::Oneway) => Mode::Oneway,
            },
            args: types(&function.args),
            rets: types(&function.rets),
        }
    }
}

/// Named types that still have to be built.
struct Reached<'a> {
    interface: &'a Interface,
    waiting: Vec<u32>,
    seen: BTreeSet<u32>,
}

impl Reached<'_> {
    fn name(&mut self, number: u32) -> String {
        if self.seen.insert(number) {
            self.waiting.push(number);
        }
        self.interface
            .named
            .get(number as usize)
            .map_or_else(String::new, |(name, _)| name.clone())
    }
}

macro_rules! shared_types {
    ($($leaf:ident),+) => {
        /// A type that can be shared between threads.
        #[derive(Debug, Clone)]
        pub(super) enum Ty {
            $($leaf,)+
            Named(u32),
            Opt(Box<Ty>),
            Vec(Box<Ty>),
            Record(Vec<(Label, Ty)>),
            Variant(Vec<(Label, Ty)>),
            Func(Vec<FuncMode>, Vec<Ty>, Vec<Ty>),
            Service(Vec<(String, Ty)>),
        }

        impl Ty {
            /// Depth is that of the text the type was parsed from, which is limited.
            fn of(ty: &Type, index: &BTreeMap<&str, u32>) -> Ty {
                let fields = |fields: &[Field]| {
                    fields.iter().map(|field| (field.id.as_ref().clone(), Ty::of(&field.ty, index))).collect()
                };
                let list = |types: &[Type]| types.iter().map(|ty| Ty::of(ty, index)).collect();
                match ty.as_ref() {
                    $(TypeInner::$leaf => Ty::$leaf,)+
                    TypeInner::Var(name) => index.get(name.as_str()).map_or(Ty::Empty, |number| Ty::Named(*number)),
                    TypeInner::Opt(inner) => Ty::Opt(Box::new(Ty::of(inner, index))),
                    TypeInner::Vec(inner) => Ty::Vec(Box::new(Ty::of(inner, index))),
                    TypeInner::Record(inner) => Ty::Record(fields(inner)),
                    TypeInner::Variant(inner) => Ty::Variant(fields(inner)),
                    TypeInner::Func(func) => Ty::Func(func.modes.clone(), list(&func.args), list(&func.rets)),
                    TypeInner::Service(methods) => {
                        Ty::Service(methods.iter().map(|(name, ty)| (name.clone(), Ty::of(ty, index))).collect())
                    }
                    // None of these comes from interface text.
                    TypeInner::Knot(_) | TypeInner::Unknown | TypeInner::Future | TypeInner::Class(..) => Ty::Reserved,
                }
            }

            fn build(&self, reached: &mut Reached<'_>) -> Type {
                let inner = match self {
                    $(Ty::$leaf => TypeInner::$leaf,)+
                    Ty::Named(number) => TypeInner::Var(reached.name(*number)),
                    Ty::Opt(inner) => TypeInner::Opt(inner.build(reached)),
                    Ty::Vec(inner) => TypeInner::Vec(inner.build(reached)),
                    Ty::Record(fields) => TypeInner::Record(build_fields(fields, reached)),
                    Ty::Variant(fields) => TypeInner::Variant(build_fields(fields, reached)),
                    Ty::Func(modes, args, rets) => TypeInner::Func(Function {
                        modes: modes.clone(),
                        args: args.iter().map(|ty| ty.build(reached)).collect(),
                        rets: rets.iter().map(|ty| ty.build(reached)).collect(),
                    }),
                    Ty::Service(methods) => TypeInner::Service(
                        methods.iter().map(|(name, ty)| (name.clone(), ty.build(reached))).collect(),
                    ),
                };
                inner.into()
            }
        }
    };
}

shared_types!(
    Null, Bool, Nat, Int, Nat8, Nat16, Nat32, Nat64, Int8, Int16, Int32, Int64, Float32, Float64,
    Text, Reserved, Empty, Principal
);

fn build_fields(fields: &[(Label, Ty)], reached: &mut Reached<'_>) -> Vec<Field> {
    fields
        .iter()
        .map(|(label, ty)| Field {
            id: label.clone().into(),
            ty: ty.build(reached),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn parse(text: &str) -> Result<Interface, InterfaceError> {
        Interface::parse(text.into()).await
    }

    #[tokio::test]
    async fn methods_and_their_modes() {
        let interface = parse(
            "type Tree = variant { leaf; node : record { Tree; Tree } };
             // the service
             service : (text) -> {
               get : (nat) -> (Tree) query; set : (Tree) -> (); cq : () -> () composite_query; tell : (text) -> () oneway }",
        )
        .await
        .unwrap();
        let mode = |name| interface.method(name).unwrap().mode;
        assert_eq!(mode("get"), Mode::Query);
        assert_eq!(mode("set"), Mode::Update);
        assert_eq!(mode("cq"), Mode::CompositeQuery);
        assert_eq!(mode("tell"), Mode::Oneway);
        let types = interface.reply_types(interface.method("get").unwrap());
        assert_eq!(types.list[0].to_string(), "Tree");
        assert_eq!(types.env.0.len(), 1);
        assert_eq!(
            interface
                .argument_types(interface.method("get").unwrap())
                .env
                .0
                .len(),
            0
        );
    }

    #[tokio::test]
    async fn what_is_no_interface_is_said() {
        for text in [
            "service : {",
            "type a = nat;",
            "",
            "type a = b; service : {}",
            "type a = a; service : {}",
        ] {
            assert!(
                matches!(parse(text).await, Err(InterfaceError::Invalid(_))),
                "{text}"
            );
        }
        let deep = format!("service : {{ m : ({} nat) -> () }}", "opt ".repeat(200));
        assert!(matches!(
            parse(&deep).await,
            Err(InterfaceError::Limit(GuardError::TooDeep))
        ));
    }

    #[tokio::test]
    async fn a_chain_of_as_many_types_as_allowed_is_parsed() {
        let mut text = "type t0 = nat;".to_owned();
        for n in 1..1024 {
            text.push_str(&format!("type t{n} = opt t{};", n - 1));
        }
        text.push_str("service : { m : (t1023) -> () query }");
        let interface = parse(&text).await.unwrap();
        assert_eq!(
            interface
                .argument_types(interface.method("m").unwrap())
                .env
                .0
                .len(),
            1024
        );
    }

    #[tokio::test]
    async fn an_interface_in_one_line_is_parsed_in_time() {
        let methods: String = (0..60_000).map(|n| format!("m{n}:()->();")).collect();
        let text = format!("service:{{{methods}}}");
        let parsing = parse(&text);
        let interface = tokio::time::timeout(std::time::Duration::from_secs(8), parsing).await;
        assert_eq!(interface.unwrap().unwrap().method_names().count(), 60_000);
    }

    #[tokio::test]
    async fn the_nearest_method_is_found_or_none() {
        let interface =
            parse("service : { icrc1_balance_of : () -> (); greet : () -> (); count : () -> () }")
                .await
                .unwrap();
        assert_eq!(
            interface.nearest("icrc1_balanceof"),
            Some("icrc1_balance_of")
        );
        assert_eq!(interface.nearest("Greet"), Some("greet"));
        assert_eq!(interface.nearest("transfer"), None);
    }

    #[tokio::test]
    async fn of_very_many_methods_a_bounded_number_is_compared() {
        let methods: String = (0..9_000)
            .map(|n| format!("method_{n:05}:()->();"))
            .collect();
        let interface = parse(&format!("service:{{{methods} zebra:()->()}}"))
            .await
            .unwrap();
        assert_eq!(interface.nearest("method_0150"), Some("method_00150"));
        assert_eq!(interface.nearest("Method_01500"), Some("method_01500"));
        // Beyond what is compared: not the name itself, which lies in the last thousand, but one of the first.
        assert!(interface.nearest("Method_08500").unwrap() < "method_02000");
        assert_eq!(interface.nearest("zebras"), Some("zebra"));
    }
}
