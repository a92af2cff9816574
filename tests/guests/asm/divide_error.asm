; #DE by DIV and IDIV of each size and by AAM 0: at the instruction, with registers as they were;
; a handler that repairs and restarts. #BR, #OF, #UD beside it.
; exit: 0
; serial:
;   fault 00 error 00000000 at it
;   fault 00 error 00000000 at it
;   fault 00 error 00000000 at it
;   fault 00 error 00000000 at it
;   fault 00 error 00000000 at it
;   restarted 00000019
;   fault 05 error 00000000 at it
;   overflow trap 00000001
;   fault 06 error 00000000 at it
;   fault 06 error 00000000 at it
%include "guest.inc"

%macro faults 1+
  try %%caught
%%at:
  %1
  fail "no fault"
%%caught:
  mov edi, %%at
  call show
%endmacro

main:
  mov eax, 1000
  xor edx, edx
  xor ecx, ecx
  faults div ecx
  mov ecx, 0x12345678
  mov edx, 0x7fffffff
  mov ecx, 2
  faults idiv ecx
  mov eax, 0x4000
  mov ebx, 1
  faults div bl
  mov edx, 1
  xor eax, eax
  mov ebx, 1
  faults div word [one]
  faults aam 0
  hook 0, repair
  xor ecx, ecx
  mov eax, 100
  xor edx, edx
  div ecx
  print "restarted "
  call print_hex
  say ""
  mov dword [hooks], 0
  mov eax, 11
  faults bound eax, [bounds]
  mov eax, 5
  bound eax, [bounds]
  hook 4, count
  into
  mov al, 0x7f
  inc al
  into
  print "overflow trap "
  mov eax, [overflows]
  call print_hex
  say ""
  faults ud2
  faults db 0xf0, 0x90            ; LOCK NOP
  ret

show:
  cmp edi, [fault_eip]
  jne .elsewhere
  push edi
  print "fault "
  mov eax, [fault_vector]
  call print_byte
  print " error "
  mov eax, [fault_error]
  call print_hex
  say " at it"
  pop edi
  ret
.elsewhere:
  fail "another place"

repair:
  mov dword [ebp + frame.ecx], 4
  ret
count:
  inc dword [overflows]
  ret
align 4
overflows: dd 0
bounds: dd 1, 10
one: dw 1
