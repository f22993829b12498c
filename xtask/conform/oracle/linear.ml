(* The linearizability checker: reads histories (history.ml), each up to a line with a dot, and answers each: [ok PLACES],
   or [no], why, and a line with a dot. *)

open Dump
open History
open Search

let explain h depth node =
  let b = Buffer.create 1024 in
  let add = Buffer.add_string b in
  let all = Array.fold_left (fun sum ops -> sum + Array.length ops) 0 h.by_core in
  add (Printf.sprintf "no order: of %d things at most %d are in one. Next come:\n" all depth);
  Array.iteri (fun c ops ->
      if node.next.(c) < Array.length ops then add ("  " ^ ops.(node.next.(c)).text ^ "\n")) h.by_core;
  if depth = all then add "  nothing: whose the pages were in the end is not the model's\n";
  add "where the model is:\n";
  add (text node.known);
  Buffer.contents b

let answer lines =
  (match of_lines lines with
   | exception Failure why -> Printf.printf "no\nunreadable: %s\n.\n" why
   | h ->
     match search h with
     | Explained, places -> Printf.printf "ok %d\n" places
     | Refused (depth, node), _ -> Printf.printf "no\n%s.\n" (explain h depth node)
     | Gave_up, places -> Printf.printf "no\ngave up after %d places\n.\n" places);
  flush stdout

let () =
  let lines = ref [] in
  try
    while true do
      match input_line stdin with
      | "." -> let all = List.rev !lines in lines := []; answer all
      | text -> if text <> "" && text.[0] <> '#' then lines := text :: !lines
    done
  with End_of_file -> ()
