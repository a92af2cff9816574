; With CR4.PGE set a CR3 load spares what is global, and nothing else: two address spaces whose low
; 8 MiB are global, with other code, data and read-only rights beyond.
; exit: 0
; serial:
;   code 00000011 00000022
;   data 1111aaaa 2222bbbb
;   sum 00003300
;   written 000000ff 000000ff
;   read-only there
%include "guest.inc"

OTHER_DIR    equ SPARE + 0x10000
OTHER_TABLE  equ SPARE + 0x11000
CODE         equ VIRTUAL          ; mov eax, imm32; ret
DATA         equ VIRTUAL + 0x1000
COUNT        equ VIRTUAL + 0x2000
SHARED       equ VIRTUAL + 0x3000 ; the same frame, read-only in the other space

main:
  call make_page_tables
  mov edi, PAGE_TABLES
  mov ecx, 2048
.global:
  or dword [edi], GLOBAL_PAGE
  add edi, 4
  loop .global
  mov dword [SPARE], 0x000011b8
  mov word [SPARE + 4], 0xc300
  mov dword [SPARE + 0x1000], 0x000022b8
  mov word [SPARE + 0x1004], 0xc300
  mov dword [SPARE + 0x2000], 0x1111aaaa
  mov dword [SPARE + 0x3000], 0x2222bbbb
  map CODE, SPARE | P | W
  map DATA, SPARE + 0x2000 | P | W
  map COUNT, SPARE + 0x4000 | P | W
  map SHARED, SPARE + 0x6000 | P | W
  mov esi, PAGE_DIR
  mov edi, OTHER_DIR
  mov ecx, 1024
  rep movsd
  mov dword [OTHER_DIR + (VIRTUAL >> 22) * 4], OTHER_TABLE | P | W
  mov dword [OTHER_TABLE], SPARE + 0x1000 | P | W
  mov dword [OTHER_TABLE + 4], SPARE + 0x3000 | P | W
  mov dword [OTHER_TABLE + 8], SPARE + 0x5000 | P | W
  mov dword [OTHER_TABLE + 12], SPARE + 0x6000 | P
  call enable_paging
  mov eax, cr0
  or eax, 0x10000                 ; WP
  mov cr0, eax
  mov eax, cr4
  or eax, 0x80                    ; PGE
  mov cr4, eax

  print "code "
  call both_call
  mov eax, esi
  call print_hex
  print " "
  mov eax, edi
  call print_hex
  say ""
  print "data "
  call here
  mov eax, [DATA]
  call print_hex
  print " "
  call there
  mov eax, [DATA]
  call print_hex
  say ""
  xor ebx, ebx
  mov ecx, 256
.next:
  call both_call
  add ebx, esi
  add ebx, edi
  call here
  inc dword [COUNT]
  call there
  inc dword [COUNT]
  loop .next
  print "sum "
  mov eax, ebx
  call print_hex
  say ""
  print "written "
  call here
  mov eax, [COUNT]
  dec eax
  call print_hex
  print " "
  call there
  mov eax, [COUNT]
  dec eax
  call print_hex
  say ""
  call here
  mov dword [SHARED], 5
  call there
  try .refused
  mov dword [SHARED], 6
  fail "it could be written"
.refused:
  no_try
  check_equal [SHARED], 5, "of the shared frame"
  say "read-only there"
  call here
  ret

; ESI: what the code of the first space returns, EDI: that of the other
both_call:
  call here
  call CODE
  mov esi, eax
  call there
  call CODE
  mov edi, eax
  ret

here:
  mov eax, PAGE_DIR
  mov cr3, eax
  ret

there:
  mov eax, OTHER_DIR
  mov cr3, eax
  ret
