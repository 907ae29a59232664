"""The gates of ``qelib1.inc``, as published and in Qiskit's version, that ``stdgates.inc`` lacks."""

QELIB1 = """
gate u(theta,phi,lambda) q { U(theta,phi,lambda) q; }
gate sxdg a { s a; h a; s a; }
gate cu1(lambda) a,b { cp(lambda) a,b; }
gate cu3(theta,phi,lambda) c,t {
  u1((lambda+phi)/2) c; u1((lambda-phi)/2) t; cx c,t;
  u3(-theta/2,0,-(phi+lambda)/2) t; cx c,t; u3(theta/2,phi,0) t;
}
gate csx a,b { h b; cu1(pi/2) a,b; h b; }
gate rzz(theta) a,b { cx a,b; rz(theta) b; cx a,b; }
gate rxx(theta) a,b { h a; h b; rzz(theta) a,b; h a; h b; }
gate rccx a,b,c {
  h c; t c; cx b,c; tdg c; cx a,c; t c; cx b,c; tdg c; h c;
}
gate rc3x a,b,c,d {
  h d; t d; cx c,d; tdg d; h d; cx a,d; t d; cx b,d; tdg d; cx a,d;
  t d; cx b,d; tdg d; h d; t d; cx c,d; tdg d; h d;
}
gate ccp_(lambda) a,b,c { cp(lambda/2) b,c; cx a,b; cp(-lambda/2) b,c; cx a,b; cp(lambda/2) a,c; }
gate cccp_(lambda) a,b,c,d {
  cp(lambda/2) c,d; ccx a,b,c; cp(-lambda/2) c,d; ccx a,b,c; ccp_(lambda/2) a,b,d;
}
gate c3x a,b,c,d { h d; cccp_(pi) a,b,c,d; h d; }
gate c3sqrtx a,b,c,d { h d; cccp_(pi/2) a,b,c,d; h d; }
gate c4x a,b,c,d,e {
  h e; cp(pi/2) d,e; c3x a,b,c,d; cp(-pi/2) d,e; c3x a,b,c,d; cccp_(pi/2) a,b,c,e; h e;
}
"""
"""OpenQASM 2. Where the published text leaves a phase open, the definition follows Qiskit's gate."""
