(** * The specification as a program

    [cargo xtask conform] has Coq write [spec.ml] from this: the functions of the specification, [step] above
    all, in OCaml. What is believed here without proof: Coq's extraction, and that numbers may be those
    of the library zarith. *)

From Coq Require Import NArith ZArith List.
From Coq Require Import Extraction ExtrOcamlBasic ExtrOcamlNatInt ExtrOcamlZBigInt.
From Bulkhead Require Import Base State World Args Step Calls.Vcpus Guest.Sgi.

(** What [ExtrOcamlZBigInt] leaves to be done bit by bit. *)
Extract Constant N.eqb => "Z.equal".
Extract Constant N.leb => "Z.leq".
Extract Constant N.ltb => "Z.lt".
Extract Constant N.land => "Z.logand".
Extract Constant N.lor => "Z.logor".
Extract Constant N.lxor => "Z.logxor".
Extract Constant N.ldiff => "(fun a b -> Z.logand a (Z.lognot b))".
Extract Constant N.testbit => "(fun a i -> Z.testbit a (Z.to_int i))".
Extract Constant N.pow => "(fun a e -> Z.pow a (Z.to_int e))".
Extract Constant N.to_nat => "Z.to_int".
Extract Constant N.of_nat => "Z.of_int".
Extract Constant Z.of_N => "(fun n -> n)".
Extract Constant Z.to_N => "(fun z -> Z.max z Z.zero)".
Extract Constant Z.eqb => "Z.equal".
Extract Constant Z.leb => "Z.leq".
Extract Constant Z.ltb => "Z.lt".
Extract Constant Z.pow => "(fun a e -> Z.pow a (Z.to_int e))".

Extraction "spec.ml"
  step sgi_by_register all_call call_number status_value status_word ExitReason_raw handle zeroes no_irq.
